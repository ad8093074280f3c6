// Errors of pulling, loading and reading images, in words for the person who asked.
import { OperatingError } from '@pouch/process';

export type ImageErrorCode =
  | 'invalid-reference' | 'access-denied' | 'manifest-unknown' | 'unreachable' | 'registry' | 'digest-mismatch'
  | 'unsupported' | 'no-platform' | 'invalid-image' | 'invalid-archive' | 'not-unpacked' | 'cancelled';

const RETRYABLE: ReadonlySet<ImageErrorCode> = new Set(['unreachable', 'registry', 'digest-mismatch']);

/** Something about an image or a registry that went wrong. `message` can be shown to a person as it is. */
export class ImageError extends OperatingError {
  declare readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, cause?: unknown) {
    super(code, message, { retryable: RETRYABLE.has(code), cause });
    this.name = 'ImageError';
  }
}
