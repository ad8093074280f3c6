// What went wrong while files were copied, as an operating error in Docker's words. Pure.
import { ImageError } from '@pouch/containerd';
import { FilesError } from '@pouch/native';
import { TarError } from '@pouch/oci';
import { OperatingError } from '@pouch/process';

const codes: Readonly<Record<string, string>> = {
  ENOENT: 'not-found', ENOTDIR: 'bad-parameter', EISDIR: 'bad-parameter', ELOOP: 'bad-parameter', ENAMETOOLONG: 'bad-parameter', EINVAL: 'bad-parameter', EEXIST: 'bad-parameter',
  EROFS: 'denied', EACCES: 'denied', EPERM: 'denied', EBUSY: 'conflict', ETXTBSY: 'conflict', ESRCH: 'conflict', HELPER_DIED: 'unavailable',
};
const words: Readonly<Record<string, string>> = {
  ENOTDIR: 'not a directory', ELOOP: 'too many links, or one where none may be', ENAMETOOLONG: 'a name is too long', EROFS: 'read-only file system', EACCES: 'permission denied', EPERM: 'operation not permitted',
  EBUSY: 'device or resource busy', ENOSPC: 'no space left on device', EDQUOT: 'disk quota exceeded', EISDIR: 'is a directory', ENOENT: 'no such file or directory', EXDEV: 'a hard link to another file system',
};
/** Sentences that need no reason behind them. */
const whole = /^(extraction point is not a directory|cannot overwrite |container rootfs is marked read-only|mounted volume is marked read-only|.* became shorter while it was read$)/;

/** `path`, `container`: what was asked for, as it was asked. */
export function copyFailure(error: unknown, { path, container }: { readonly path: string; readonly container: string }): unknown {
  if (error instanceof TarError || (error instanceof ImageError && error.code === 'invalid-archive')) return new OperatingError('bad-parameter', `the body: ${error.message}`, { cause: error });
  if (!(error instanceof FilesError)) return error;
  if (error.code === 'ENOENT') return new OperatingError('not-found', `Could not find the file ${path} in container ${container}`, { cause: error });
  const reason = words[error.code];
  const message = whole.test(error.message) || reason === undefined ? error.message : `${error.message}: ${reason}`;
  return new OperatingError(codes[error.code] ?? 'internal', message, { cause: error, retryable: error.code === 'HELPER_DIED' });
}
