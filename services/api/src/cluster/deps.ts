// What the routes under /cluster are given: the part of the api's that they use. Types only.
import type { Message } from '@pouch/contracts';
import type { EventLog } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { StreamLimits } from '../events/stream-writer.ts';
import type { Projection } from '../projection/projection.ts';

export interface ClusterDeps {
  readonly projection: Projection;
  readonly log: Pick<EventLog<Message>, 'identity' | 'read'>;
  /** Core NATS, to ask the scheduler. */
  readonly nc: { request(subject: string, payload?: Uint8Array, options?: { timeout: number }): Promise<{ readonly data: Uint8Array }> };
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests. */
  readonly streamLimits?: StreamLimits;
}
