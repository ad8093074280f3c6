// The files of the api's TLS: read together, and read again when they change. Serves nothing.
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { messageOf, OperatingError, type Logger } from '@pouch/process';

/** Paths of PEM files: the CA that client certificates must be of, the server's certificate and its key. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Their texts. */
export interface TlsMaterial {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** How a server with TLS knows itself and its clients. `certificate`: only clients with one of the CA get in; `certificate-or-token`: others get as far as the gate. */
export interface TlsSettings extends TlsMaterial {
  readonly clients: 'certificate' | 'certificate-or-token';
}

/** A file cannot be read, or the three do not go together; `code` is `tls-files`, the message names the file. */
export class TlsFilesError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('tls-files', message, { cause });
  }
}

/** How often the files are looked at: a certificate is replaced well before its end. */
const lookMs = 5_000;

export function readTlsFiles(files: TlsFiles): TlsMaterial {
  const [ca, cert, key] = (['ca', 'cert', 'key'] as const).map((name) => {
    try {
      return readFileSync(files[name], 'utf8');
    } catch (error) {
      throw new TlsFilesError(`${files[name]} cannot be read: ${messageOf(error)}`, error);
    }
  }) as [string, string, string];
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    throw new TlsFilesError(`${files.ca}, ${files.cert} and ${files.key} do not make a server with TLS: ${messageOf(error)}`, error);
  }
  return { ca, cert, key };
}

/** Calls `use` with new files whenever they have changed and go together; until then the old ones stay. Owns its timer; the answer ends it. */
export function watchTlsFiles(files: TlsFiles, use: (material: TlsMaterial) => void, logger: Logger): { look(): void; stop(): void } {
  const stamp = (): string => (['ca', 'cert', 'key'] as const).map((name) => {
    const stat = statSync(files[name], { throwIfNoEntry: false });
    return stat === undefined ? 'none' : `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
  }).join(' ');
  let seen = stamp();
  const look = (): void => {
    const now = stamp();
    if (now === seen) return;
    seen = now;
    try {
      use(readTlsFiles(files));
      logger.info({ cert: files.cert }, 'new TLS files are in use');
    } catch (error) {
      // Files are replaced one by one: the next change is looked at again.
      logger.warn({ err: error }, 'TLS files have changed and are not usable; the old ones stay in use');
    }
  };
  const timer = setInterval(look, lookMs);
  timer.unref();
  return { look, stop: () => clearInterval(timer) };
}
