// The secrets of this host's containers: sealed bytes fetched and kept on disk, opened into files of a tmpfs while their container runs.
// Opened bytes are never on a disk, in a log line or in an error.
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { secretSubject, type Message } from '@pouch/contracts';
import type { Container, ContainerSpec, Secret, SecretMount } from '@pouch/domain';
import { LogUnavailable, type EventLog, type ObjectStore } from '@pouch/eventlog';
import type { MountInput } from '@pouch/oci';
import { messageOf, type Logger } from '@pouch/process';
import type { KeyFile } from '@pouch/sealing';
import { ImpossibleError } from '../containers/failures.ts';

export interface SecretsDeps {
  /** Null: this host was given no key. */
  readonly keys: KeyFile | null;
  readonly log: Pick<EventLog<Message>, 'last'>;
  readonly objects: Pick<ObjectStore, 'get'>;
  /** Where sealed bytes of a container are kept until it is removed. */
  readonly kept: (containerId: string) => string;
  /** Where the tmpfs is mounted; gone at a reboot. */
  readonly mountPoint: string;
  readonly logger: Logger;
}

/** Where containers find them. */
const target = '/run/secrets';
/** Of all containers of this host that run. */
const maxBytes = 256 * 1024 * 1024;
const maxSealedBytes = 1024 * 1024;
const run = promisify(execFile);

export class Secrets {
  readonly #deps: SecretsDeps;
  #mounted: Promise<void> | null = null;

  constructor(deps: SecretsDeps) {
    this.#deps = deps;
  }

  /** Fetches what a container is given, so that it can start while the log is away. Throws ImpossibleError, LogUnavailable. */
  async fetch({ id, spec }: Pick<Container, 'id' | 'spec'>): Promise<void> {
    for (const mount of spec.secrets ?? []) await this.#sealed(id, mount);
  }

  /** Makes the files; what an earlier run had is made anew. Throws ImpossibleError. */
  async place({ id, spec }: Pick<Container, 'id' | 'spec'>): Promise<void> {
    const secrets = spec.secrets ?? [];
    if (secrets.length === 0) return;
    const { keys } = this.#deps;
    if (keys === null) throw new ImpossibleError('unavailable', 'this host has no key for secrets: POUCH_SECRETS_KEY names its file');
    await this.#mount();
    const directory = this.#directory(id);
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o711 });
    for (const mount of secrets) {
      const plain = await this.#opened(id, mount, keys);
      const file = join(directory, mount.target);
      await writeFile(file, plain, { mode: 0o600, flag: 'wx' });
      plain.fill(0);
      await chown(file, mount.uid, mount.gid);
      await chmod(file, mount.mode);
    }
  }

  /** Takes the opened files away. Nothing there is no error. */
  async clear(containerId: string): Promise<void> {
    await rm(this.#directory(containerId), { recursive: true, force: true });
  }

  /** For the container's spec: a tmpfs of its own, and each file in it. */
  mounts(containerId: string, { secrets = [] }: Pick<ContainerSpec, 'secrets'>): readonly MountInput[] {
    if (secrets.length === 0) return [];
    return [
      { type: 'tmpfs', target, sizeBytes: 64 * 1024, mode: 0o755, options: ['noexec', 'nosuid', 'nodev'] },
      ...secrets.map((mount): MountInput => ({ type: 'bind', source: join(this.#directory(containerId), mount.target), target: join(target, mount.target), readonly: true })),
    ];
  }

  #directory(containerId: string): string {
    return join(this.#deps.mountPoint, containerId);
  }

  async #opened(containerId: string, mount: SecretMount, keys: KeyFile): Promise<Buffer> {
    try {
      return keys.keyring().open(await this.#sealed(containerId, mount), { name: mount.name, generation: mount.generation });
    } catch (error) {
      if (error instanceof ImpossibleError) throw error;
      throw new ImpossibleError('unavailable', messageOf(error));
    }
  }

  /** As the log has it now, for it may have been sealed again with another key; what was fetched before where the log is away. */
  async #sealed(containerId: string, mount: SecretMount): Promise<Buffer> {
    const directory = join(this.#deps.kept(containerId), 'secrets');
    const file = join(directory, mount.target);
    const kept = await readFile(file).catch(() => null); // not fetched yet
    try {
      const secret = (await this.#deps.log.last(secretSubject(mount.name)))?.message.snapshot as Secret | undefined;
      if (secret?.state !== 'present' || secret.generation !== mount.generation) throw new ImpossibleError('not-found', `secret ${mount.name} is not there any more`);
      const mark = `${file}.digest`;
      if (kept !== null && (await readFile(mark, 'utf8').catch(() => '')) === secret.sealed.digest) return kept;
      const sealed = await this.#download(mount.name, secret.sealed.digest);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await rm(mark, { force: true });
      await writeFile(`${file}.new`, sealed, { mode: 0o600 });
      await rename(`${file}.new`, file);
      await writeFile(mark, secret.sealed.digest, { mode: 0o600 });
      return sealed;
    } catch (error) {
      if (kept === null || !(error instanceof LogUnavailable)) throw error;
      this.#deps.logger.warn({ containerId, secret: mount.name, err: error }, 'the log is away: a secret is taken as it was fetched before');
      return kept;
    }
  }

  async #download(name: string, digest: string): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of this.#deps.objects.get(digest)) {
      bytes += chunk.length;
      if (bytes > maxSealedBytes) throw new ImpossibleError('bad-parameter', `secret ${name} is larger than ${maxSealedBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #mount(): Promise<void> {
    this.#mounted ??= this.#mountOnce().catch((error: unknown) => {
      this.#mounted = null;
      throw error;
    });
    return this.#mounted;
  }

  /** Only what is on a tmpfs is gone with the host's power; `noswap` keeps it off the disk where the kernel knows it (6.4). */
  async #mountOnce(): Promise<void> {
    const { mountPoint } = this.#deps;
    await mkdir(mountPoint, { recursive: true, mode: 0o711 });
    const mounted = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').some((line) => line.split(' ')[4] === mountPoint);
    if (mounted) return;
    const mount = (more: string) => run('mount', ['-t', 'tmpfs', '-o', `mode=711,nosuid,nodev,noexec,size=${maxBytes}${more}`, 'pouch-secrets', mountPoint]);
    await mount(',noswap').catch(() => mount(''));
  }
}
