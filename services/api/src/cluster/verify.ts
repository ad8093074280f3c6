// Holds the log, the snapshots and the projection against each other: folds every aggregate's retained messages again, compares each fold with the
// snapshot that was written, and the last of each subject with what the projection shows. Reads only.
import { isDeepStrictEqual } from 'node:util';
import { everySubject, type Message, type VerifyMismatch, type VerifyReport } from '@pouch/contracts';
import { fold } from '@pouch/domain';
import type { EventLog } from '@pouch/eventlog';
import { bufferOf, decodeEntry, type LogEntry } from '@pouch/projections';
import type { Projection } from '../projection/projection.ts';

/** Told one by one; more are only counted. */
const maxTold = 1_000;
const waitForProjectionMs = 30_000;
/** Kinds whose living aggregates all have a row of the present. */
const shownKinds: ReadonlySet<string> = new Set(['container', 'host', 'image', 'kernel', 'token', 'policy', 'secret', 'refusal', 'volume']);

/** A subject's last readable message, as bytes: thousands of parsed states would be ten times as much. */
interface Head {
  readonly seq: number;
  readonly payload: Buffer;
  /** Its aggregate has ended: the projection need not show it. */
  readonly ended: boolean;
}

export interface VerifyOptions {
  readonly log: Pick<EventLog<Message>, 'identity' | 'read'>;
  readonly projection: Projection;
  readonly signal: AbortSignal;
}

/** Rejects when the log cannot be read to its end or the projection does not come as far in time. */
export async function verify({ log, projection, signal }: VerifyOptions): Promise<VerifyReport> {
  const started = performance.now();
  const { lastSeq } = await log.identity();
  const findings = new Findings();
  const heads = new Map<string, Head>();
  let checked = 0;
  let passedOver = 0;
  if (lastSeq > 0) {
    for await (const entries of log.read({ filter: everySubject, untilSeq: lastSeq, maxBatch: 500 })) {
      signal.throwIfAborted();
      for (const entry of entries) {
        const outcome = foldAgain(entry, heads, findings);
        if (outcome === 'checked') checked += 1;
        else if (outcome === 'passed-over') passedOver += 1;
      }
    }
    await projection.waitForSeq(lastSeq, { timeoutMs: waitForProjectionMs, signal });
  }
  await compareWithProjection(projection, heads, lastSeq, findings);
  return { ok: findings.count === 0, checked, subjects: heads.size, seq: lastSeq, passedOver, mismatches: findings.told, mismatchCount: findings.count, tookMs: Math.round(performance.now() - started) };
}

class Findings {
  readonly told: VerifyMismatch[] = [];
  count = 0;

  add(subject: string, seq: number, problem: VerifyMismatch['problem'], message: string): void {
    this.count += 1;
    if (this.told.length < maxTold) this.told.push({ subject, seq, problem, message });
  }
}

/** The first retained message of a subject is the base, whatever went before it; a subject that begins with its creation is folded from nothing. */
function foldAgain(entry: LogEntry, heads: Map<string, Head>, findings: Findings): 'checked' | 'passed-over' | 'malformed' {
  const decoded = decodeEntry(entry);
  if (decoded.form === 'malformed') {
    findings.add(entry.subject, entry.seq, 'malformed', decoded.reason);
    return 'malformed';
  }
  if (decoded.form === 'unknown') return 'passed-over';
  const { message } = decoded;
  const before = heads.get(entry.subject);
  const base = before === undefined ? null : (JSON.parse(before.payload.toString('utf8')) as { snapshot: typeof message.snapshot }).snapshot;
  // Events of types that this version does not know may change the state in ways that it cannot repeat.
  const folded: unknown = fold(message.kind, base as never, message.events as never);
  const comparable = folded === null && before === undefined ? null : (JSON.parse(JSON.stringify(folded)) as unknown);
  if (comparable !== null && !isDeepStrictEqual(comparable, message.snapshot)) {
    findings.add(entry.subject, entry.seq, 'fold', `its events (${message.events.map(({ type }) => type).join(', ')}) do not lead to its snapshot: ${firstDifference(comparable, message.snapshot)}`);
  }
  heads.set(entry.subject, { seq: entry.seq, payload: Buffer.from(bufferOf(entry.payload)), ended: hasEnded(message.snapshot as unknown as Record<string, unknown>) });
  return 'checked';
}

function hasEnded({ status, state }: Record<string, unknown>): boolean {
  return status === 'removed' || state === 'removed';
}

/** Subjects that went on after `lastSeq` are left out: the projection is rightly further there. */
async function compareWithProjection(projection: Projection, heads: ReadonlyMap<string, Head>, lastSeq: number, findings: Findings): Promise<void> {
  const seen = new Set<string>();
  for (let key = 0; ; ) {
    const page = projection.history.heads(key);
    for (const row of page) {
      seen.add(row.subject);
      if (row.lastSeq > lastSeq) continue;
      const head = heads.get(row.subject);
      const shown = projection.present.origin(row.kind, row.aggregateId, row.hostId);
      if (head === undefined) {
        // Ended aggregates are purged from the log while the history still tells of them.
        if (shown === row.seq && row.goneSeq === null && shownKinds.has(row.kind)) findings.add(row.subject, row.seq, 'extra', 'the projection shows it, the log has no such subject');
        continue;
      }
      if (row.seq !== head.seq || !row.message.equals(head.payload)) findings.add(row.subject, head.seq, 'projection', `the projection's last message of it is ${row.seq}, the log's is ${head.seq}${row.seq === head.seq ? ' with other bytes' : ''}`);
      else if (head.ended && shown === row.seq) findings.add(row.subject, head.seq, 'extra', 'it has ended, and the projection still shows it');
      else if (!head.ended && shown !== row.seq && shownKinds.has(row.kind) && !(row.kind === 'container' && isElsewhere(projection, row.aggregateId, row.seq))) {
        findings.add(row.subject, head.seq, 'missing', 'the projection does not show it');
      }
    }
    const last = page.at(-1);
    if (last === undefined) break;
    key = last.key;
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const [subject, head] of heads) if (!seen.has(subject) && !head.ended) findings.add(subject, head.seq, 'missing', 'the projection has no such subject');
}

/** A container may have gone on to another host after this one said no. */
function isElsewhere(projection: Projection, id: string, seq: number): boolean {
  return (projection.present.container(id)?.seq ?? 0) > seq;
}

/** Where two JSON values part, as a path and both values in short. */
function firstDifference(folded: unknown, written: unknown, path = ''): string {
  if (typeof folded === 'object' && folded !== null && typeof written === 'object' && written !== null && Array.isArray(folded) === Array.isArray(written)) {
    const a = folded as Record<string, unknown>;
    const b = written as Record<string, unknown>;
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (!isDeepStrictEqual(a[name], b[name])) return firstDifference(a[name], b[name], path === '' ? name : `${path}.${name}`);
    }
  }
  const short = (value: unknown) => (JSON.stringify(value) ?? 'nothing').slice(0, 100);
  return `${path} is ${short(written)}, the fold gives ${short(folded)}`;
}
