// One publish into a stream with its acknowledgement (NATS ADR-22, headers of ADR-1). Sends once; what to do about each answer is the caller's.
import { headers } from 'nats';
import type { NatsLink } from './connection.ts';
import { ConflictError, LogUnavailable, MessageTooLargeError } from './errors.ts';
import { isConflict, jsError, JetStreamError, type ApiErrorBody } from './jetstream-api.ts';

export interface PublishRequest {
  readonly stream: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly expectedSeq: number;
  readonly messageId?: string;
  /** `KV-Operation`, of deletions in key-value buckets. */
  readonly kvOperation?: 'DEL';
  readonly timeoutMs: number;
}

/** Headers that go with a payload and count towards max_payload: names, the id, numbers. */
const headerRoomBytes = 512;

/** Throws MessageTooLargeError if a server with this max_payload would not take it. */
export function checkSize(subject: string, payloadBytes: number, maxPayloadBytes: number | undefined): void {
  if (maxPayloadBytes !== undefined && payloadBytes + headerRoomBytes > maxPayloadBytes) throw new MessageTooLargeError(subject, payloadBytes, maxPayloadBytes - headerRoomBytes);
}

/** Rejects with ConflictError, LogUnavailable, MessageTooLargeError, or JetStreamError for what should not happen. */
export async function publishOnce(link: NatsLink, { stream, subject, payload, expectedSeq, messageId, kvOperation, timeoutMs }: PublishRequest): Promise<{ seq: number; duplicate: boolean }> {
  const head = headers();
  head.set('Nats-Expected-Stream', stream);
  head.set('Nats-Expected-Last-Subject-Sequence', String(expectedSeq));
  if (messageId !== undefined) head.set('Nats-Msg-Id', messageId);
  if (kvOperation !== undefined) head.set('KV-Operation', kvOperation);
  const answer = (await link.request(subject, payload, { timeoutMs, headers: head })).json<{ seq?: number; duplicate?: boolean; error?: ApiErrorBody }>();
  if (answer.error === undefined) {
    const { seq = 0, duplicate = false } = answer;
    // A leader of several (nats-server 2.10) calls a message a duplicate of one that the others have not taken yet, and gives no sequence: it may still be lost with that leader.
    if (seq < 1) throw new LogUnavailable(`publish to ${subject}: an earlier try is still under way`, { outcome: 'unknown' });
    return { seq, duplicate };
  }
  const error = new JetStreamError(answer.error, `publish to ${subject}`);
  if (isConflict(error)) {
    const told = /(\d+)\s*$/.exec(answer.error.description ?? '')?.[1];
    throw new ConflictError({ subject, expectedSeq, headSeq: told === undefined || error.errorCode !== jsError.wrongLastSequence ? null : Number(told), cause: error });
  }
  if (error.errorCode === jsError.messageTooLarge) throw new MessageTooLargeError(subject, payload.length, payload.length - 1);
  // No leader, storage that fails, limits of the account: all may pass, and the message was not taken. An earlier try of it may yet be.
  throw new LogUnavailable(error.message, { cause: error, outcome: error.errorCode === jsError.duplicateUnderWay ? 'unknown' : 'not-sent' });
}
