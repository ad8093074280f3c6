// Tells the log what this host is. It knows nothing of how the facts are found.
import { randomUUID } from 'node:crypto';
import { hostSubject, messageVersion, type Message } from '@pouch/contracts';
import { decideHost, fold, type Host } from '@pouch/domain';
import { ConflictError, type EventLog } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import type { AgentConfig } from './config.ts';

/** Tells the log what this host is; again when the log is another one, or something of it has changed. Answers with the sequence that tells of it. */
export async function announce({ log, config, facts, logger, now, signal }: { log: EventLog<Message>; config: Pick<AgentConfig, 'hostId'>; facts: Host['facts']; logger: Logger; now: () => number; signal: AbortSignal }): Promise<number | null> {
  const subject = hostSubject(config.hostId);
  const id = randomUUID();
  while (!signal.aborted) {
    const last = await log.last(subject);
    const state = (last?.message.snapshot ?? null) as Host | null;
    const decision = decideHost(state, { type: 'AnnounceHost', id: config.hostId, facts }, now());
    if (!decision.ok || decision.events.length === 0) return last?.seq ?? null;
    const message: Message = {
      v: messageVersion, id, kind: 'host', events: decision.events, snapshot: fold('host', state, decision.events) as Host,
      meta: { atMs: now(), service: 'agent', actor: 'agent', cause: null },
    };
    try {
      const { seq } = await log.append({ subject, message, expectedSeq: last?.seq ?? 0 });
      logger.info({ hostId: config.hostId, events: decision.events.map(({ type }) => type) }, 'host announced');
      return seq;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
  return null;
}
