// The one place where the scripts read the environment. It must not start or change anything.
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The repository's root; everything project-local hangs off it. */
export const repositoryDir: string = join(import.meta.dirname, '..');

/** Downloaded programs, stamps and caches of this checkout; ignored by git and safe to delete. */
export const projectDir: string = join(repositoryDir, '.pouch');

const env = process.env;

/** What the caller's environment says; frozen, parsed once. */
export const environment = Object.freeze({
  /** Search path for programs; the sbin directories are added because a plain user's PATH lacks them. */
  path: [...(env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'].filter((entry) => entry !== ''),
  /** A nats-server to use instead of looking for one. */
  natsServer: env['POUCH_NATS_SERVER'],
  /** Base address of a Debian mirror for machines whose apt sources name none (Ubuntu). */
  debianMirror: env['POUCH_DEBIAN_MIRROR'],
  home: env['HOME'] ?? homedir(),
  ci: env['CI'] === 'true',
});
