// Containers of this host that the log does not know (see other-log.ts), when an operator decides on them: told, taken into the log, or removed.
import type { UnknownOnHost } from '@pouch/contracts';
import { containerId as toContainerId, explainUnadoptable, type AdoptContainer, type Container } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import { removeTask, removeTraces } from '../containers/remove.ts';
import type { Rooms } from '../rooms.ts';
import type { RunRow, UnknownRow } from '../store/store.ts';
import type { Observed } from '../tasks/observed.ts';

/** Answers of one host at most; the rest is told once these have been decided on. */
const maxListed = 1_000;

export async function listUnknown({ store, tasks, containerd, book }: Rooms): Promise<{ containers: UnknownOnHost[] }> {
  const unknown = store.unknown().filter(({ containerId }) => book.local(containerId) === null).slice(0, maxListed);
  if (unknown.length === 0) return { containers: [] };
  const records = new Map((await containerd.containers.list()).map((record) => [record.id, record] as const));
  return {
    containers: unknown.map(({ containerId, snapshot }) => {
      const record = records.get(containerId);
      const createdAt = typeof record?.createdAt === 'string' ? Date.parse(record.createdAt) : null;
      return {
        id: containerId, name: snapshot?.name ?? null, image: snapshot?.spec.image.name ?? record?.image ?? null, state: stateOf(snapshot, tasks.get(containerId)),
        createdAtMs: snapshot?.createdAtMs ?? createdAt, keepsOut: explainUnadoptable(snapshot),
      };
    }),
  };
}

function stateOf(snapshot: Container | null, observed: Observed | null): UnknownOnHost['state'] {
  if (observed?.status === 'running' || observed?.status === 'paused') return observed.status;
  return observed?.status === 'created' || snapshot?.status === 'created' || snapshot?.status === 'assigned' ? 'created' : 'exited';
}

/** Takes it into the log under the name that it had; its name has been claimed. Answers with the log's sequence of that. */
export async function adoptUnknown(rooms: Rooms, containerId: string): Promise<{ seq: number }> {
  const { store, tasks, report } = rooms;
  const { snapshot } = requireUnknown(rooms, containerId);
  const why = explainUnadoptable(snapshot);
  if (why !== null || snapshot === null) throw new OperatingError('conflict', `container ${containerId} cannot be adopted: ${why ?? ''}`);
  // From here on it is in the book, or will be when the log is back.
  const seq = await report(containerId, adoption(snapshot, tasks.get(containerId), store.run(containerId)));
  if (seq === null) throw new OperatingError('unavailable', `container ${containerId} is not in the log yet; it will be`);
  store.dropUnknown(containerId);
  rooms.logger.info({ containerId, seq }, 'a container that the log did not know was adopted');
  return { seq };
}

/** What the log is to be told of it. Pure. A run whose task has gone, or has ended, is told as going on: its end is found and told like any other. */
export function adoption({ id, hostId, name, spec, createdAtMs, manuallyStopped, ...state }: Container, observed: Observed | null, row: RunRow | null): AdoptContainer {
  const began = observed !== null && observed.status !== 'created' && row?.startId === observed.startId;
  const known = state.status === 'running' || state.status === 'paused' ? state.run : null;
  const run = began ? { startId: row.startId, startedAtMs: row.startedAtMs, pid: observed.pid, network: row.network } : known;
  return { type: 'AdoptContainer', id: toContainerId(id), hostId, name, spec, createdAtMs, run, paused: observed?.status === 'paused', lastExit: 'lastExit' in state ? state.lastExit : null, manuallyStopped };
}

/** As `rm -f` does; what is left of one that was cut short goes the next time. */
export async function removeUnknown(rooms: Rooms, containerId: string): Promise<Record<string, never>> {
  requireUnknown(rooms, containerId);
  await removeTask(rooms, containerId);
  await removeTraces(rooms, containerId);
  rooms.store.dropUnknown(containerId);
  rooms.logger.info({ containerId }, 'a container that the log did not know was removed');
  return {};
}

function requireUnknown({ store, book, config }: Rooms, containerId: string): UnknownRow {
  const row = store.unknown().find((one) => one.containerId === containerId);
  if (row === undefined || book.local(containerId) !== null) throw new OperatingError('not-found', `host ${config.hostId} has no container ${containerId} that the log does not know`);
  return row;
}
