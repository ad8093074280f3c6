// Errors of images in the codes that an api knows (HostErrorCode). The words stay those of whoever failed.
import { isContainerdError, ImageError, type ImageErrorCode } from '@pouch/containerd';
import type { HostErrorCode } from '@pouch/contracts';
import { OperatingError } from '@pouch/process';

/** As Docker, which answers that a repository is not there also where it may only be hidden. */
const codes: Readonly<Record<ImageErrorCode, HostErrorCode>> = {
  'invalid-reference': 'bad-parameter',
  'access-denied': 'not-found',
  'manifest-unknown': 'not-found',
  'no-platform': 'not-found',
  unreachable: 'internal',
  registry: 'internal',
  'digest-mismatch': 'internal',
  unsupported: 'bad-parameter',
  'invalid-image': 'bad-parameter',
  'invalid-archive': 'bad-parameter',
  'not-unpacked': 'internal',
  cancelled: 'unavailable',
};

/** What an api is answered; errors that it knows already (e.g. of the log) stay what they are. */
export function forApi(error: unknown): unknown {
  if (error instanceof ImageError) return new OperatingError(codes[error.code], error.message, { cause: error });
  if (isContainerdError(error)) return new OperatingError(error.retryable ? 'unavailable' : 'internal', error.message, { cause: error, retryable: error.retryable });
  return error;
}

/** Runs work of a call or pipe, its errors in the codes of an api. */
export async function answering<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw forApi(error);
  }
}

export const noSuchImage = (name: string): OperatingError => new OperatingError('not-found', `No such image: ${name}`);
export const conflict = (message: string): OperatingError => new OperatingError('conflict', `conflict: ${message}`);
