// What an api asks of this host directly: calls and pipes, each handed to the room that knows. It keeps nothing.
import type { NatsLink } from '@pouch/eventlog';
import { serveHost, type CallHandlers, type HostServer, type PipeHandlers } from '@pouch/pipes';
import { OperatingError, type Logger } from '@pouch/process';
import { top } from './containers/top.ts';
import { containerSize, hostUsage } from './containers/usage.ts';
import type { Execs } from './exec/exec.ts';
import { readFrom, statPath, writeTo } from './files/copy.ts';
import type { Health } from './health/health.ts';
import type { Machines } from './machines/machines.ts';
import { shutDownHost } from './reconcile/shutdown.ts';
import { adoptUnknown, listUnknown, removeUnknown } from './reconcile/unknown-containers.ts';
import type { ImagesRoom, Rooms } from './rooms.ts';
import { Stats } from './stats/stats.ts';
import { attach } from './streams/attach.ts';
import { consoleOutput } from './streams/console.ts';
import { logs } from './streams/logs.ts';
import { volumeUsage } from './volumes/usage.ts';

export interface ServeDeps {
  readonly rooms: Rooms;
  readonly execs: Execs;
  readonly health: Health;
  readonly images: ImagesRoom;
  readonly link: NatsLink;
  readonly logger: Logger;
  /** Tells the log what this host is. */
  readonly announce: () => Promise<unknown>;
}

const maxTerminalSide = 0xffff;

/** Serves as soon as NATS can be reached, until `stop`. */
export function serve({ rooms, execs, health, images, link, logger, announce }: ServeDeps): { stop(): Promise<void> } {
  /** What the host tells of itself has changed with it. */
  const announcing = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    void announce().catch((error: unknown) => logger.warn({ err: error }, 'what has changed of this host is told when it is announced next'));
    return result;
  };
  const stats = new Stats(rooms);
  const calls: CallHandlers = {
    ...images.calls,
    'container.top': ({ containerId, psArgs }) => top(rooms, containerId, psArgs),
    'container.stats': ({ containerId }) => stats.read(containerId),
    'container.health': ({ containerId }) => Promise.resolve().then(() => health.read(containerId)),
    'container.resize': async ({ containerId, rows, columns }) => await resize(rooms, containerId, undefined, { rows, columns }),
    'container.path-stat': (params) => statPath(rooms, params),
    'exec.resize': async ({ containerId, execId, rows, columns }) => await resize(rooms, containerId, execId, { rows, columns }),
    'kernel.probe': ({ name, actor }) => machinesOf(rooms).probe(name, actor),
    'kernel.forget': ({ name }) => machinesOf(rooms).forget(name),
    'container.size': ({ containerId }) => containerSize(rooms, containerId),
    'volume.usage': (asked) => volumeUsage(rooms.volumes, asked),
    'host.usage': () => hostUsage(rooms),
    'unknown.list': () => listUnknown(rooms),
    'unknown.adopt': async ({ containerId }) => await announcing(adoptUnknown(rooms, containerId)),
    'unknown.remove': async ({ containerId }) => await announcing(removeUnknown(rooms, containerId)),
    'host.shutdown': (asked) => shutDownHost(rooms, asked),
  };
  const pipes: PipeHandlers = {
    ...images.pipes,
    'container.attach': async (params, pipe) => {
      await attach(rooms, params, pipe, pipe.signal);
      return {};
    },
    'container.logs': async (params, pipe) => {
      await logs(rooms, params, pipe, pipe.signal);
      return {};
    },
    'container.console': async (params, pipe) => {
      await consoleOutput(rooms, params, pipe, pipe.signal);
      return {};
    },
    'container.read-files': (params, pipe) => readFrom(rooms, params, pipe),
    'container.write-files': (params, pipe) => writeTo(rooms, params, pipe),
    'exec.start': (params, pipe) => execs.start(params, pipe, pipe.signal),
  };
  let server: HostServer | null = null;
  let stopped = false;
  void link.connection().then((connection) => {
    if (!stopped) server = serveHost(connection, rooms.config.hostId, { calls, pipes }, { logger });
  }, (error: unknown) => { if (!stopped) logger.error({ err: error }, 'calls and pipes cannot be served'); });
  return {
    async stop() {
      stopped = true;
      await server?.stop();
      rooms.machines?.readings.close();
    },
  };
}

function machinesOf({ machines }: Rooms): Machines {
  if (machines === null) throw new OperatingError('unsupported', 'this host does not have the runtime runv');
  return machines;
}

async function resize({ containerd, book }: Rooms, containerId: string, execId: string | undefined, { rows, columns }: { rows: number; columns: number }): Promise<Record<string, never>> {
  const container = book.local(containerId);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${containerId}`);
  if (container.status !== 'running' && container.status !== 'paused') throw new OperatingError('not-running', `Container ${containerId} is not running`);
  for (const side of [rows, columns]) if (!Number.isInteger(side) || side < 0 || side > maxTerminalSide) throw new OperatingError('bad-parameter', `a terminal's size is between 0 and ${maxTerminalSide}, not ${side}`);
  await containerd.tasks.resizePty(containerId, { width: columns, height: rows }, execId === undefined ? {} : { execId });
  return {};
}
