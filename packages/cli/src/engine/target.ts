// Where the API is: `unix://path` or `tcp://host:port`, with TLS where certificates are given. Reads the certificate files, opens no connection.
import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';

export interface TlsFiles {
  readonly tlscacert?: string | undefined;
  readonly tlscert?: string | undefined;
  readonly tlskey?: string | undefined;
}

export type Target =
  | { readonly kind: 'unix'; readonly socketPath: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer } | null };

export const plainPort = 2375;
export const tlsPort = 2376;

/** Parses `--host` and reads the files of the `--tls…` flags. Throws UsageError. */
export function toTarget(address: string, files: TlsFiles = {}): Target {
  if (address.startsWith('unix://') || address.startsWith('/')) {
    const socketPath = address.replace(/^unix:\/\//, '');
    if (!socketPath.startsWith('/')) throw new UsageError(`--host ${address}: a unix address needs an absolute path, e.g. unix:///var/run/pouchd.sock`);
    return { kind: 'unix', socketPath };
  }
  const wrong = () => new UsageError(`--host ${address}: expected unix:///path or tcp://host:port`);
  if (!/^(tcp|http|https):\/\//.test(address) || !URL.canParse(address.replace(/^tcp:/, 'http:'))) throw wrong();
  const url = new URL(address.replace(/^tcp:/, 'http:'));
  if (url.hostname === '' || (url.pathname !== '/' && url.pathname !== '')) throw wrong();
  const { tlscacert, tlscert, tlskey } = files;
  const secure = url.protocol === 'https:' || [tlscacert, tlscert, tlskey].some((file) => file !== undefined);
  if ((tlscert === undefined) !== (tlskey === undefined)) throw new UsageError('--tlscert and --tlskey go together');
  const fallback = url.protocol === 'http:' && !address.startsWith('tcp:') ? 80 : secure ? tlsPort : plainPort;
  return {
    kind: 'tcp',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? fallback : Number(url.port),
    tls: secure ? { ...file('ca', 'tlscacert', tlscacert), ...file('cert', 'tlscert', tlscert), ...file('key', 'tlskey', tlskey) } : null,
  };
}

/** A token is the whole right to act: it does not go over a network that anybody can read. Throws UsageError. */
export function requireSafeForToken(target: Target): void {
  if (target.kind === 'unix' || target.tls !== null || target.host === 'localhost' || target.host === '::1' || target.host.startsWith('127.')) return;
  throw new UsageError(`POUCH_TOKEN is set, and ${target.host} would get it without TLS`, 'POUCH_CERT_PATH or --tlscacert turn TLS on');
}

function file<K extends string>(member: K, flag: string, path: string | undefined): { [P in K]?: Buffer } {
  if (path === undefined) return {};
  try {
    return { [member]: readFileSync(path) } as { [P in K]?: Buffer };
  } catch (error) {
    throw new UsageError(`--${flag} ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
