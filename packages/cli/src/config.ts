// What the CLI takes from its environment, parsed once and frozen. The only file here that may read process.env.
import { homedir } from 'node:os';
import { join } from 'node:path';

export const defaultHost = 'unix:///var/run/pouchd.sock';

export interface CliConfig {
  /** Address of the API where no `--host` says otherwise: `unix://…` or `tcp://…`. */
  readonly host: string;
  /** Directory with ca.pem, cert.pem and key.pem, for `tcp://` addresses; as docker's DOCKER_CERT_PATH. */
  readonly certPath: string | null;
  /** Bearer token; from the environment only, for everybody sees the arguments of a process. */
  readonly token: string | null;
  /** Where compiled sources are kept between runs, so that each start is quick. */
  readonly compileCacheDir: string;
  /** The caller's variables, for `-e NAME` and `--env-file`, which pass their values on. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function readConfig(env: NodeJS.ProcessEnv = process.env): CliConfig {
  const cacheHome = env['XDG_CACHE_HOME'] ?? join(env['HOME'] ?? homedir(), '.cache');
  return Object.freeze({
    host: env['POUCH_HOST'] === undefined || env['POUCH_HOST'] === '' ? defaultHost : env['POUCH_HOST'],
    certPath: env['POUCH_CERT_PATH'] || null,
    token: env['POUCH_TOKEN'] || null,
    compileCacheDir: join(cacheHome, 'pouch', 'compile'),
    variables: Object.freeze({ ...env }),
  });
}
