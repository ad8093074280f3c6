// What people want of services, into the log; answered when the projection shows it. What follows from it is the scheduler's.
import { randomUUID } from 'node:crypto';
import { serviceSubject } from '@pouch/contracts';
import { decideService, type Service, type ServiceCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { refused } from '../errors.ts';
import type { Asking } from './requests.ts';

const showMs = 30_000;

/** The service after the command. Rejects with an HttpError where the rules refuse it. */
export async function commandService({ log, projection, clock }: Pick<Deps, 'log' | 'projection' | 'clock'>, name: string, command: Exclude<ServiceCommand, { type: 'AdvanceService' }>, { actor, signal }: Asking): Promise<Service> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'service', subject: serviceSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideService(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  if (outcome.snapshot === null) throw new TypeError(`service ${name}: a command led to no state`);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
  return outcome.snapshot;
}
