// Containers as of a sequence of the log: all of them, or one by id, name or prefix. Reads in pages and lets others run in between.
import { setImmediate as turn } from 'node:timers/promises';
import type { ClusterContainer } from '@pouch/contracts';
import { healthOf, type Container } from '@pouch/domain';
import type { PastContainer } from '@pouch/projections';
import { HttpError, noSuchContainer } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';

export async function* pastContainers(projection: Projection, seq: number): AsyncGenerator<readonly PastContainer[]> {
  for (let key: number | null = 0; key !== null; ) {
    const page: { containers: PastContainer[]; nextKey: number | null } = projection.history.containersAt(seq, key);
    yield page.containers;
    key = page.nextKey;
    if (key !== null) await turn();
  }
}

/** All of them, newest first, each id once: the latest of a container that went from one host to another. */
export async function containersAt(projection: Projection, seq: number): Promise<PastContainer[]> {
  const latest = new Map<string, PastContainer>();
  for await (const page of pastContainers(projection, seq)) {
    for (const past of page) if (past.seq > (latest.get(past.state.id)?.seq ?? 0)) latest.set(past.state.id, past);
  }
  return [...latest.values()].sort((a, b) => b.state.createdAtMs - a.state.createdAtMs || (a.state.id < b.state.id ? 1 : -1));
}

/** One that existed at `seq`, found as Docker finds it: whole id, name, prefix of an id. 404 when there is none, 400 when a prefix fits several. */
export async function containerAt(projection: Projection, reference: string, seq: number): Promise<PastContainer> {
  const wanted = reference.startsWith('/') ? reference.slice(1) : reference;
  const there = (id: string) => {
    const past = projection.history.containerAt(id, seq);
    return past === null || past.state.status === 'removed' ? null : past;
  };
  const byId = /^[0-9a-f]{64}$/.test(wanted) ? there(wanted) : null;
  if (byId !== null) return byId;
  let named: PastContainer | null = null;
  for await (const page of pastContainers(projection, seq)) {
    for (const past of page) if (past.state.name === wanted && past.seq > (named?.seq ?? 0)) named = past;
  }
  if (named !== null) return named;
  if (/^[0-9a-f]{1,63}$/.test(wanted)) {
    const found = projection.history.containerIds(wanted, 1_000).map(there).filter((past) => past !== null);
    if (found.length > 1) throw new HttpError(400, `Multiple IDs found with provided prefix: ${wanted}`);
    if (found[0] !== undefined) return found[0];
  }
  throw noSuchContainer(reference);
}

export function summaryOf({ state, seq }: { readonly state: Container; readonly seq: number }): ClusterContainer {
  const run = state.status === 'running' || state.status === 'paused' ? state.run : null;
  const exit = run === null && 'lastExit' in state ? state.lastExit : null;
  return {
    id: state.id, name: state.name, hostId: state.hostId, status: state.status,
    image: state.spec.image.reference, imageId: state.spec.image.id, runtime: state.spec.runtime, command: [...state.spec.entrypoint, ...state.spec.cmd], labels: { ...state.spec.labels },
    createdAtMs: state.createdAtMs, startedAtMs: run?.startedAtMs ?? exit?.startedAtMs ?? null, finishedAtMs: exit?.finishedAtMs ?? null, exitCode: exit?.exitCode ?? null,
    health: healthOf(state), restartCount: state.restartCount, seq,
  };
}
