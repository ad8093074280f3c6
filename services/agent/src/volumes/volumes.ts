// The data of volumes on this host: a directory each, made with the first container that has it and taken away once the log says that its volume has been
// removed. What the log does not know is left alone, whatever it is. It decides nothing about who may have a volume, and writes nothing into the log.
import { randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { everyVolume, type Message, type Recorded } from '@pouch/contracts';
import { dataToRemove, volumesOf, type Container, type HostId, type Volume, type VolumeMount } from '@pouch/domain';
import type { EventLog, Subscription } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import { ImpossibleError } from '../containers/failures.ts';
import { copyUp, isThere } from './copy-up.ts';

const retryMs = 5_000;
/** While it is filled: `.new-*` is being copied, `copied` is whole and goes into `_data` piece by piece. */
const [dataName, copiedName, newPrefix, scratchName] = ['_data', 'copied', '.new-', '.scratch'];

export interface VolumesDeps {
  readonly hostId: HostId;
  /** Holds a directory for each volume's data, by its id. */
  readonly directory: string;
  readonly log: EventLog<Message>;
  readonly logger: Logger;
}

export class Volumes {
  readonly #deps: VolumesDeps;
  readonly #stopped = new AbortController();
  /** Ids of data that are here. */
  readonly #here = new Set<string>();
  /** To be taken away. */
  readonly #due = new Set<string>();
  /** One at a time for each: two containers may be made with an empty volume at once. */
  readonly #turns = new Map<string, Promise<void>>();
  #subscription: Subscription | null = null;
  #clearing: Promise<void> | null = null;

  constructor(deps: VolumesDeps) {
    this.#deps = deps;
  }

  /** Begins to hear of volumes that are removed. */
  async start(): Promise<void> {
    await mkdir(this.#deps.directory, { recursive: true, mode: 0o711 });
    for (const name of await readdir(this.#deps.directory)) if (isDataId(name)) this.#here.add(name);
    this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#subscription?.stop();
    await this.#clearing;
    await Promise.allSettled(this.#turns.values());
  }

  /** The directory with all that there is of a volume's data. */
  home(dataId: string): string {
    return join(this.#deps.directory, dataId);
  }

  /** Where a container's volume is, for its spec. Fails with ImpossibleError where the container was not given it. */
  path({ volumes = [] }: Pick<Container, 'volumes'>, name: string): string {
    const use = volumes.find((one) => one.name === name);
    if (use === undefined || !isDataId(use.dataId)) throw new ImpossibleError('internal', `volume ${name} was not taken for the container: create the container anew`);
    return join(this.home(use.dataId), dataName);
  }

  /** Makes what a container's volumes need to be there, with what its image has at their places where they are empty. Can be done again after any crash. */
  async make(container: Container, layers: readonly string[]): Promise<void> {
    for (const { name, mount } of volumesOf(container.id, container.spec.mounts)) {
      const data = this.path(container, name);
      const home = join(data, '..');
      await this.#inTurn(home, async () => {
        this.#here.add(dataIdOf(home));
        await this.#provide(home, data, mount, layers);
      });
    }
  }

  async #provide(home: string, data: string, mount: VolumeMount, layers: readonly string[]): Promise<void> {
    await mkdir(home, { recursive: true, mode: 0o711 });
    const copied = join(home, copiedName);
    if (!(await isThere(copied)) && !mount.noCopy && await isEmpty(data)) await this.#copy(home, copied, { layers, path: mount.target });
    await mkdir(data, { recursive: true, mode: 0o755 });
    if (await isThere(copied)) await moveInto(data, copied);
  }

  async #copy(home: string, copied: string, source: { readonly layers: readonly string[]; readonly path: string }): Promise<void> {
    const scratch = join(home, scratchName);
    const to = join(home, `${newPrefix}${randomUUID()}`);
    // Of copies that were cut short.
    for (const name of await readdir(home)) if (name.startsWith(newPrefix)) await removeTree(join(home, name));
    await mkdir(scratch, { recursive: true });
    try {
      if (await copyUp(source, { to, scratch })) await rename(to, copied);
    } finally {
      await removeTree(to);
      await rmdir(scratch);
    }
  }

  async #inTurn(key: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work, work);
    this.#turns.set(key, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    }
  }

  #follow(): void {
    const { log, logger } = this.#deps;
    if (this.#stopped.signal.aborted) return;
    this.#subscription = log.follow({
      filter: everyVolume,
      from: 'last-per-subject',
      onMessages: (messages) => { for (const recorded of messages as readonly Recorded[]) this.#hear(recorded); },
      onFailed: (error) => {
        // Data have ids of their own, so no log can mean others than those that it has known: one that was put back is read like this one.
        logger.warn({ err: error }, 'volumes are heard of anew');
        void delay(retryMs, undefined, { signal: this.#stopped.signal }).then(() => this.#follow(), () => { /* the agent ends */ });
      },
    });
  }

  #hear({ message }: Recorded): void {
    if (message.kind !== 'volume') return;
    const wanted = dataToRemove(message.snapshot as Volume, this.#deps.hostId).filter((dataId) => this.#here.has(dataId));
    for (const dataId of wanted) this.#due.add(dataId);
    if (this.#due.size > 0) this.#clearing ??= this.#clear().finally(() => (this.#clearing = null));
  }

  async #clear(): Promise<void> {
    const { logger } = this.#deps;
    const { signal } = this.#stopped;
    while (this.#due.size > 0 && !signal.aborted) {
      let failed = false;
      for (const dataId of [...this.#due]) {
        if (signal.aborted) return;
        try {
          await this.#inTurn(this.home(dataId), async () => { await removeTree(this.home(dataId)); });
          this.#due.delete(dataId);
          this.#here.delete(dataId);
          logger.info({ dataId }, "a removed volume's data are gone");
        } catch (error) {
          failed = true;
          logger.warn({ err: error, dataId }, "a removed volume's data could not be taken away; it is tried again");
        }
      }
      if (failed) await delay(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

export const isDataId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);
const dataIdOf = (home: string): string => home.slice(home.lastIndexOf('/') + 1);

async function isEmpty(directory: string): Promise<boolean> {
  return await readdir(directory).then((names) => names.length === 0, (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return true;
    throw error;
  });
}

/** Links are taken away, never followed. */
async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/** Moves what a whole copy holds, and what it says of the directory itself; what is there already, of a move that was cut short or by a container since, stays. */
async function moveInto(data: string, copied: string): Promise<void> {
  const { uid, gid, mode } = await stat(copied);
  for (const name of await readdir(copied)) if (!(await isThere(join(data, name)))) await rename(join(copied, name), join(data, name));
  await chown(data, uid, gid);
  await chmod(data, mode & 0o7777);
  await removeTree(copied);
}
