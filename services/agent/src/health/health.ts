// Health checks of this host's containers: a monitor for each run that has one. Looks when told to; what it finds goes to the log as a change of
// health, single probes stay here and are forgotten with the run or the agent.
import type { HostCalls } from '@pouch/contracts';
import { activeCheck, probeArgs, withHealthDefaults, type Container } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { Monitor } from './monitor.ts';
import { Places } from './places.ts';
import { endLeftProbe, runProbe } from './probe.ts';

const begunAtOnce = 8;
/** Changes of one container's health that wait for the log while it is away. */
const maxWaiting = 8;

type Running = Extract<Container, { status: 'running' | 'paused' }>;

export class Health {
  readonly #rooms: Rooms;
  readonly #places = new Places(begunAtOnce);
  readonly #monitors = new Map<string, { readonly startId: string; readonly monitor: Monitor }>();

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** To be called when a container, or what is seen of its task, has changed. */
  look(id: string): void {
    const { book, tasks } = this.#rooms;
    const container = book.local(id);
    const known = this.#monitors.get(id);
    if (container === null || (container.status !== 'running' && container.status !== 'paused') || activeCheck(container.spec) === null) {
      if (known !== undefined) this.#end(id, known.monitor);
      return;
    }
    const isSame = known?.startId === container.run.startId;
    if (known !== undefined && !isSame) this.#end(id, known.monitor);
    const monitor = known !== undefined && isSame ? known.monitor : this.#begin(container);
    if (container.status === 'running' && tasks.get(id)?.status === 'running') monitor.resume();
    else void monitor.pause();
  }

  /** What the probes of the present run have come to. */
  read(id: string): HostCalls['container.health']['result'] {
    const container = this.#rooms.book.local(id);
    if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
    if (container.status !== 'running' && container.status !== 'paused') throw new OperatingError('not-running', `Container ${id} is not running`);
    const { failingStreak, probes } = this.#monitors.get(id)?.monitor.record ?? { failingStreak: 0, probes: [] };
    return { failingStreak, probes: [...probes] };
  }

  /** Probes that are under way are broken off. */
  async stop(): Promise<void> {
    const monitors = [...this.#monitors.values()];
    this.#monitors.clear();
    await Promise.all(monitors.map(({ monitor }) => monitor.pause()));
  }

  #begin(container: Running): Monitor {
    const { now, report, book, outbox } = this.#rooms;
    const { id, run, spec } = container;
    const check = activeCheck(spec);
    const args = check === null ? null : probeArgs(check);
    if (check === null || args === null) throw new TypeError('a container without a health check is not probed');
    const { timeoutMs } = withHealthDefaults(check);
    // Of an earlier life of the agent; the first probe waits for it.
    const cleared = endLeftProbe(this.#rooms, id);
    const monitor = new Monitor({
      check, startedAtMs: run.startedAtMs, now,
      told: () => {
        const known = book.local(id);
        return known !== null && (known.status === 'running' || known.status === 'paused') && known.run.startId === run.startId ? (known.health ?? 'starting') : null;
      },
      probe: async (signal) => {
        await cleared;
        return await runProbe(this.#rooms, { container, args, timeoutMs, places: this.#places }, signal);
      },
      report: (found) => {
        // The next probe tells it, or that it has changed once more.
        if (outbox.waiting(book.subject(id)).filter(({ command }) => command.type === 'ReportHealth').length >= maxWaiting) return;
        this.#rooms.logger.info({ containerId: id, startId: run.startId, health: found }, 'health changed');
        void report(id, { type: 'ReportHealth', startId: run.startId, health: found });
      },
    });
    this.#monitors.set(id, { startId: run.startId, monitor });
    return monitor;
  }

  #end(id: string, monitor: Monitor): void {
    this.#monitors.delete(id);
    void monitor.pause();
  }
}
