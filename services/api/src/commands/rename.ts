// Giving a container another name: the new one is claimed, the log is told, the old one is given back.
import { randomUUID } from 'node:crypto';
import { containerSubject } from '@pouch/contracts';
import { decideContainer, type Container } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Stored } from '@pouch/projections';
import type { Deps } from '../deps.ts';
import { HttpError, refused } from '../errors.ts';
import { claimName, releaseName } from './names.ts';
import type { Asking } from './requests.ts';

/** Docker's answer, also where only the log knows of it yet. */
const sameName = (): HttpError => new HttpError(400, 'name: Renaming a container with the same name as its current name');

/** Resolves when the projection shows the new name. */
export async function renameContainer(deps: Pick<Deps, 'log' | 'projection' | 'clock' | 'names'>, stored: Stored<Container>, name: string, { actor, signal }: Asking): Promise<void> {
  const { id, hostId, name: oldName } = stored.state;
  if (name === oldName) throw sameName();
  const own = await claimName(deps, name, id);
  const commandId = randomUUID();
  const nowMs = deps.clock.now();
  const outcome = await execute({
    log: deps.log, kind: 'container', subject: containerSubject(hostId, id), commandId,
    meta: { atMs: nowMs, service: 'api', actor, cause: null },
    cached: { seq: stored.seq, snapshot: stored.state },
    decide: (state) => decideContainer(state, { type: 'RenameContainer', name }, nowMs),
  });
  if (!outcome.ok) {
    // Another request may have given it this very name, by this very claim. Where the claim stays without need, it becomes stale by itself.
    if (outcome.refusal.code === 'no-change') throw sameName();
    await deps.names.release(name, own.revision).catch(() => false);
    throw refused(outcome.refusal);
  }
  const renamed = outcome.events.find((event) => event.type === 'ContainerRenamed');
  // It has been renamed, whatever becomes of the old claim: the scheduler sweeps up stale ones.
  await releaseName(deps, renamed?.oldName ?? oldName, id).catch(() => undefined);
  await deps.projection.waitForSeq(outcome.seq, { timeoutMs: 10_000, signal });
}
