// What people want of volumes, into the log; answered when the projection shows it. Which host a volume is on is the scheduler's to decide.
import { randomUUID } from 'node:crypto';
import { volumeSubject } from '@pouch/contracts';
import { decideVolume, volumesOf, type Container, type ContainerId, type Volume, type VolumeCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { refused } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';
import type { Asking } from './requests.ts';

type VolumeDeps = Pick<Deps, 'log' | 'projection' | 'clock'>;

const showMs = 30_000;

/** The volume after the command; null: there is none, and nothing was to be done. Rejects with an HttpError where the rules refuse it. */
export async function commandVolume({ log, projection, clock }: VolumeDeps, name: string, command: Exclude<VolumeCommand, { type: 'TakeVolume' }>, { actor, signal }: Asking): Promise<Volume | null> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'volume', subject: volumeSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideVolume(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
  return outcome.snapshot;
}

/** The scheduler does the same when it hears of the end; whoever removes a container and then its volumes should not meet what it has not done yet. */
export async function releaseVolumes(deps: VolumeDeps, { id, spec }: Container, { withAnonymous }: { readonly withAnonymous: boolean }, asking: Asking): Promise<void> {
  if (deps.projection.present.container(id) !== null) return;
  for (const { name } of volumesOf(id, spec.mounts)) await commandVolume(deps, name, { type: 'ReleaseVolume', containerId: id, withAnonymous }, asking);
}

/** Users of a volume that are no more. The projection has the request for a container before the container has the volume, so that one it knows nothing of is gone. */
export function goneUsers({ present }: Pick<Projection, 'present'>, { users }: Volume): readonly ContainerId[] {
  return users.filter((id) => present.container(id) === null && (present.placement(id)?.state.status ?? 'refused') === 'refused');
}
