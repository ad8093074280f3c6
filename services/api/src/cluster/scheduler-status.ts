// What the leading scheduler says of itself when it is asked, over core NATS.
import { schedulerStatusSubject, type SchedulerStatus } from '@pouch/contracts';
import type { ClusterDeps } from './deps.ts';

const schedulerTimeoutMs = 1_000;

/** Null when no scheduler answers in time, or answers what cannot be read. */
export async function schedulerStatus(nc: ClusterDeps['nc']): Promise<SchedulerStatus | null> {
  try {
    const answer = await nc.request(schedulerStatusSubject, new Uint8Array(), { timeout: schedulerTimeoutMs });
    const status = JSON.parse(Buffer.from(answer.data).toString('utf8')) as Partial<SchedulerStatus>;
    return typeof status.leader === 'string' && Array.isArray(status.hosts) ? (status as SchedulerStatus) : null;
  } catch {
    // No leader, no NATS, or a leader in trouble are all told as "no scheduler answers".
    return null;
  }
}
