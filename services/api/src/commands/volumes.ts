// What people want of volumes, into the log; answered when the projection shows it. Which host a volume is on is the scheduler's to decide.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { volumeSubject } from '@pouch/contracts';
import { decideVolume, volumeId, volumesOf, type Container, type ContainerId, type Volume, type VolumeCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { refused } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';
import type { Asking } from './requests.ts';

type VolumeDeps = Pick<Deps, 'log' | 'projection' | 'clock'>;

const showMs = 30_000;
const lookMs = 20;
const maxLooks = 250;

/** The volume after the command; null: there is none, and nothing was to be done. Rejects with an HttpError where the rules refuse it. */
export async function commandVolume({ log, projection, clock }: VolumeDeps, name: string, command: Extract<VolumeCommand, { type: 'CreateVolume' | 'RemoveVolume' }>, { actor, signal }: Asking): Promise<Volume | null> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'volume', subject: volumeSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideVolume(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
  return outcome.snapshot;
}

/**
 * A removed container's own volumes go with it: the scheduler sees to that when it hears of the end, and whoever lists volumes next should not meet them any more. Where no
 * scheduler is there, they go later.
 */
export async function ownVolumesGone({ projection: { present } }: Pick<Deps, 'projection'>, { id, spec }: Container, signal: AbortSignal): Promise<void> {
  const isLeft = ({ name }: ReturnType<typeof volumesOf>[number]): boolean => {
    const volume = present.record('volume', volumeId(name))?.state;
    return volume?.anonymous === true && volume.users.includes(id);
  };
  for (let looks = 0; looks < maxLooks && !signal.aborted && present.container(id) === null && volumesOf(id, spec.mounts).some(isLeft); looks++) await delay(lookMs);
}

/** Users of a volume that are no more. The projection has the request for a container before the container has the volume, so that one it knows nothing of is gone. */
export function goneUsers({ present }: Pick<Projection, 'present'>, { users }: Volume): readonly ContainerId[] {
  return users.filter((id) => present.container(id) === null && (present.placement(id)?.state.status ?? 'refused') === 'refused');
}
