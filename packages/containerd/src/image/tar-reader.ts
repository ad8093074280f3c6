// Reads the tar of images from an untrusted stream: which members there are, by names that cannot leave the archive. It writes nothing.
import { readTarMembers, TarError } from '@pouch/oci';
import { ImageError } from './image-error.ts';

const MAX_NAME_BYTES = 4096;

/** One entry. `body` must be read to its end before the next entry is asked for; what is left of it is skipped. */
export type TarEntry = { name: string; type: 'file' | 'directory' | 'symlink' | 'link' | 'other'; linkName: string; size: number; body: AsyncIterable<Uint8Array> };

function refuse(why: string): never {
  throw new ImageError('invalid-archive', `invalid tar: ${why}`);
}

/** Yields the entries. Throws ImageError `invalid-archive`; closes the source in any case. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  try {
    for await (const { name, type, linkName, sizeBytes, body } of readTarMembers(source)) {
      const known = type === 'file' || type === 'directory' || type === 'symlink' || type === 'link';
      yield { name: safePath(utf8(name), 'an entry'), type: known ? type : 'other', linkName: utf8(linkName), size: sizeBytes, body: imageBody(body) };
    }
  } catch (error) {
    throw error instanceof TarError ? new ImageError('invalid-archive', error.message) : error;
  }
}

async function* imageBody(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    throw error instanceof TarError ? new ImageError('invalid-archive', error.message) : error;
  }
}

/** A relative path without `.`, `..`, empty parts or control characters; throws for one that leaves the archive. */
export function safePath(path: string, what: string): string {
  const shown = JSON.stringify(path.slice(0, 200));
  if (Buffer.byteLength(path) > MAX_NAME_BYTES) refuse(`the name of ${what} is longer than ${MAX_NAME_BYTES} bytes`);
  if (/[\0-\x1f\x7f]/.test(path)) refuse(`${what} has control characters in its name ${shown}`);
  if (path.startsWith('/')) refuse(`${what} has the absolute path ${shown}`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse(`${what} has the path ${shown}, which leaves the archive`);
  return parts.join('/');
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return refuse('a name is not valid UTF-8');
  }
}
