// The file of the cluster's keys: a key a line, 32 bytes in base64, the one that seals first. Read again when it changes; never written here.
import { readFileSync, statSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { messageOf, OperatingError } from '@pouch/process';
import { keyBytes, Keyring } from './keyring.ts';

/** The file is not usable; `code` is `key-file`. Its text is never part of the message. */
export class KeyFileError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('key-file', message, { cause });
  }
}

/** Text of a new file with one key. */
export function newKeyFile(): string {
  return `${randomBytes(keyBytes).toString('base64')}\n`;
}

export class KeyFile {
  readonly path: string;
  #stamp = '';
  #keyring: Keyring | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** The keys as the file has them now. Throws KeyFileError. */
  keyring(): Keyring {
    let stamp: string;
    try {
      const { mode, mtimeMs, ino, size } = statSync(this.path);
      if ((mode & 0o077) !== 0) throw new KeyFileError(`${this.path} must be for its owner only (chmod 600): whoever reads it can read every secret`);
      stamp = `${ino} ${mtimeMs} ${size}`;
      if (this.#keyring === null || stamp !== this.#stamp) this.#keyring = parseKeys(readFileSync(this.path, 'utf8'), this.path);
    } catch (error) {
      if (error instanceof KeyFileError) throw error;
      throw new KeyFileError(`${this.path} cannot be read: ${messageOf(error)}`, error);
    }
    this.#stamp = stamp;
    return this.#keyring;
  }
}

function parseKeys(text: string, path: string): Keyring {
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  const keys = lines.map((line, index) => {
    const key = Buffer.from(line, 'base64');
    if (key.length !== keyBytes || !/^[A-Za-z0-9+/]{43}=$/.test(line)) throw new KeyFileError(`${path}: key ${index + 1} is not ${keyBytes} bytes in base64`);
    return key;
  });
  if (keys.length === 0) throw new KeyFileError(`${path} holds no key; make one with: head -c 32 /dev/urandom | base64`);
  return new Keyring(keys);
}
