// `docker stats`: one reading of one container, whoever asks. Those who ask at once share it, and it is given again for a moment, so that many
// watchers cost as much as one. It keeps no history: rates are whoever shows them.
import { readFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { decodeMetrics, isContainerdError } from '@pouch/containerd';
import type { ContainerReading } from '@pouch/contracts';
import { isMachine, type Container } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { cgroupReading, parseLinks, parseSystemNs, type HostFigures } from './cgroup-reading.ts';
import { machineReading } from './machine-reading.ts';

/** Shorter than the second in which clients ask again, and than what they take a rate from. */
const freshMs = 400;
const timeoutMs = 5_000;

export class Stats {
  readonly #rooms: Rooms;
  readonly #asked = new Map<string, Promise<ContainerReading>>();
  /** Of machines that are paused: a guest that stands still uses what it used last. */
  readonly #last = new Map<string, { readonly startId: string; readonly reading: ContainerReading }>();

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  async read(id: string): Promise<ContainerReading> {
    const container = this.#rooms.book.local(id);
    if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
    if (container.status !== 'running' && container.status !== 'paused') throw new OperatingError('not-running', `Container ${id} is not running`);
    const asked = this.#asked.get(id);
    if (asked !== undefined) return await asked;
    const reading = isMachine(container.spec) ? this.#ofMachine(container) : this.#ofCgroup(container);
    this.#asked.set(id, reading);
    const forget = (): void => { if (this.#asked.get(id) === reading) this.#asked.delete(id); };
    reading.then(() => { setTimeout(forget, freshMs).unref(); }, forget);
    return await reading;
  }

  async #ofCgroup({ id, spec }: Container): Promise<ContainerReading> {
    const { containerd, tasks, now } = this.#rooms;
    const pid = tasks.get(id)?.pid ?? 0;
    const host = spec.network.mode === 'host';
    const [metrics, stat, links] = await Promise.all([
      containerd.tasks.metrics([`id==${id}`], { timeoutMs }), readFile('/proc/stat', 'utf8'), host || pid === 0 ? null : linksOf(pid),
    ]).catch((error: unknown) => {
      if (isContainerdError(error, 'not-found')) throw notRunning(id, error);
      throw error;
    });
    const data = metrics.find(({ containerId }) => containerId === id)?.data;
    if (data === undefined) throw notRunning(id);
    const decoded = decodeMetrics(data);
    if (decoded === undefined) throw new OperatingError('unsupported', `containerd tells figures of a kind that is not known: ${data.type_url}`);
    const figures: HostFigures = { atMs: now(), systemNs: parseSystemNs(stat), processors: availableParallelism(), memoryBytes: totalmem(), links };
    return cgroupReading(decoded, figures);
  }

  async #ofMachine(container: Container): Promise<ContainerReading> {
    const { machines, now } = this.#rooms;
    const { id } = container;
    const startId = 'run' in container ? container.run.startId : '';
    if (machines === null) throw new OperatingError('unsupported', 'this host does not have the runtime runv any more');
    if (container.status === 'paused') {
      const last = this.#last.get(id);
      if (last?.startId === startId) return { ...last.reading, readAtMs: now() };
      throw new OperatingError('conflict', `Container ${id} is paused: its machine does not answer`);
    }
    const reading = machineReading(await machines.readings.read(id), now());
    for (const known of this.#last.keys()) if (this.#rooms.tasks.get(known) === null) this.#last.delete(known);
    this.#last.set(id, { startId, reading });
    return reading;
  }
}

const notRunning = (id: string, cause?: unknown): OperatingError => new OperatingError('not-running', `Container ${id} is not running`, { cause });

/** Of the namespace of a process; null where it has just ended. */
async function linksOf(pid: number): Promise<HostFigures['links']> {
  try {
    return parseLinks(await readFile(`/proc/${pid}/net/dev`, 'utf8'));
  } catch {
    return null; // gone between two looks: the figures of its control group, or their absence, say the rest
  }
}
