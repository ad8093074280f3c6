// The one place where the scripts read the environment. It must not start or change anything.
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The repository's root; everything project-local hangs off it. */
export const repositoryDir: string = join(import.meta.dirname, '..');

/** Downloaded programs, stamps and caches of this checkout; ignored by git and safe to delete. */
export const projectDir: string = join(repositoryDir, '.pouch');

const env = process.env;

const searchPath = [...(env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What programs that the network or a proxy stands in front of need to see. */
const passedOn = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS', 'TMPDIR'];

const clusterOptions = ['data', 'run', 'logs', 'socket', 'tcp', 'address', 'servers', 'nats-port', 'sync', 'bridge', 'subnet', 'host-id', 'log-level'] as const;

const variable = (name: string): string => `POUCH_${name.toUpperCase().replaceAll('-', '_')}`;

/** Those reach the services by way of the cluster's options, and no other: a test's cluster must not inherit them. */
const notPassedOn: readonly string[] = clusterOptions.map(variable);

/** What the caller's environment says; frozen, parsed once. */
export const environment = Object.freeze({
  /** Search path for programs; the sbin directories are added because a plain user's PATH lacks them. */
  path: [...new Set(searchPath.filter((entry) => entry !== ''))],
  /** A nats-server to use instead of looking for one. */
  natsServer: env['POUCH_NATS_SERVER'],
  /** Base address of a Debian mirror for machines whose apt sources name none (Ubuntu). */
  debianMirror: env['POUCH_DEBIAN_MIRROR'],
  home: env['HOME'] ?? homedir(),
  ci: env['CI'] === 'true',
  /** The cluster's options by the names of their flags. */
  cluster: Object.freeze(Object.fromEntries(
    clusterOptions.map((name) => [name, env[variable(name)]]),
  )) as Readonly<Record<string, string | undefined>>,
  /** Of test files and what they start: as here, and code that was compiled once is found again. That halves what it costs to start a Node program. */
  tests: Object.freeze({ NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'), ...env }),
  /** Variables handed to the services as they are: proxies, and their own settings (POUCH_…). */
  services: Object.freeze(Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && (passedOn.includes(entry[0]) || (entry[0].startsWith('POUCH_') && !notPassedOn.includes(entry[0])))),
  )),
});
