// A new container: id, name, the request for a place in the log, and the wait until its host has made it.
import { randomBytes, randomUUID } from 'node:crypto';
import { placementSubject } from '@pouch/contracts';
import { containerId, decidePlacement, type Container, type ContainerId, type ContainerSpec, type Placement } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { failed, HttpError, refused } from '../errors.ts';
import type { StatusMeans } from '../projection/waiters.ts';
import { claimMadeUpName, claimName } from './names.ts';
import type { Asking } from './requests.ts';

type CreateDeps = Pick<Deps, 'log' | 'projection' | 'clock' | 'names'>;

/** A host may have to pull the image again by its digest. */
const patienceMs = 900_000;

export const newContainerId = (): ContainerId => containerId(randomBytes(32).toString('hex'));

/** Resolves when the container is there. Rejects with an HttpError: name taken, no host for it, or failed on its host. */
export async function createContainer(deps: CreateDeps, id: ContainerId, asked: { readonly name: string | null; readonly spec: ContainerSpec }, { actor, signal }: Asking): Promise<void> {
  const { log, projection, clock, names } = deps;
  const { name, revision } = asked.name === null ? await claimMadeUpName(deps, id) : await claimName(deps, asked.name, id);
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(),
    meta: { atMs: nowMs, service: 'api', actor, cause: null },
    cached: { seq: 0, snapshot: null },
    // The id is nobody else's: what is there already is an earlier try of this very request.
    decide: (state) => (state === null ? decidePlacement(state, { type: 'RequestPlacement', id, name, spec: asked.spec }, nowMs) : { ok: true, events: [] }),
  }).catch(async (error: unknown) => {
    // Not in the log for certain: the name is free again. Where that is not certain the claim becomes stale by itself.
    if ((error as { outcome?: unknown }).outcome !== 'unknown') await names.release(name, revision).catch(() => { /* the log is away: the claim becomes stale by itself */ });
    throw error;
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForContainer(id, created, { timeoutMs: patienceMs, signal, afterSeq: outcome.seq, onStatus: (status) => means[status as Container['status'] | Placement['status']] ?? 'look' }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'timeout') throw error;
    throw new HttpError(504, `container ${name} has not been made within ${patienceMs / 60_000} minutes; it stays asked for`, { cause: error });
  });
}

/** What it means on the way to a created container that it, or its placement, has come to a status: in nearly every creation nothing has to be read. */
const means: Readonly<Record<Container['status'] | Placement['status'], StatusMeans<true>>> = {
  requested: 'sleep', placed: 'sleep', refused: 'look',
  assigned: 'sleep', created: { outcome: true }, running: { outcome: true }, paused: { outcome: true }, restarting: { outcome: true }, exited: { outcome: true }, removed: 'look',
};

/** True when it is there; throws what became of it instead; undefined while that is open. */
function created(container: Container | null, placement: Placement | null): true | undefined {
  if (placement?.status === 'refused') throw failed(placement.code, placement.message);
  if (container === null || container.status === 'assigned') return undefined;
  if (container.status !== 'removed') return true;
  switch (container.reason.kind) {
    case 'create-failed':
      throw failed(container.reason.code, container.reason.message);
    case 'rejected':
      return undefined; // the scheduler places it elsewhere, or refuses
    case 'removed':
      throw new HttpError(409, `container ${container.name} was removed before it was there`);
  }
}
