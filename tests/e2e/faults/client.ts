// A client for the tests that break things: one request a connection, an answer or a reason for none, and patience where the api or the log
// is away for a moment. It must not repeat anything that may have been done; callers decide that.
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export type Answer = { readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly text: string };

export type AskOptions = {
  readonly body?: unknown;
  /** Bytes as they are, instead of `body` as JSON. */
  readonly raw?: string | Buffer;
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
};

/** Nobody answered, or not to the end: what was asked may have been done or not. */
export class NoAnswer extends Error {}

/** One request on a connection of its own. Rejects with NoAnswer only. */
export async function ask(socketPath: string, method: string, path: string, { body, raw, headers = {}, timeoutMs = 60_000, signal }: AskOptions = {}): Promise<Answer> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const timeUp = AbortSignal.timeout(timeoutMs);
  return await new Promise<Answer>((resolve, reject) => {
    const none = (error: Error): void => reject(new NoAnswer(`${method} ${path}: ${error.message}`, { cause: error }));
    const outgoing = request({
      socketPath, method, path, agent: false, signal: signal === undefined ? timeUp : AbortSignal.any([signal, timeUp]),
      headers: { host: 'pouch', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) }), ...headers },
    }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', none);
      response.on('close', () => { if (!response.complete) none(new Error('the answer broke off')); });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('latin1') }));
    });
    outgoing.on('error', none);
    outgoing.end(payload);
  });
}

/** Polls until `look` answers something other than undefined; on time-out throws with what `explain` says. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined, { withinMs = 60_000, explain = () => '' }: { withinMs?: number; explain?: () => string } = {}): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${withinMs / 1_000} s${explain() === '' ? '' : `: ${explain()}`}`);
    await delay(50);
  }
}

export const isAway = ({ status }: Answer): boolean => status === 503;

/** Repeats what changes nothing, until it is answered by something other than 503. */
export async function read(socketPath: string, path: string, { withinMs = 60_000 }: { withinMs?: number } = {}): Promise<Answer> {
  let last = '';
  return await eventually(`an answer to GET ${path}`, async () => {
    try {
      const answer = await ask(socketPath, 'GET', path, { timeoutMs: 20_000 });
      last = `${answer.status} ${answer.text.slice(0, 200)}`;
      return isAway(answer) ? undefined : answer;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      last = error.message;
      return undefined;
    }
  }, { withinMs, explain: () => last });
}

/** A read that must be answered with 200; its JSON. */
export async function readJson<T>(socketPath: string, path: string): Promise<T> {
  const answer = await read(socketPath, path);
  if (answer.status !== 200) throw new Error(`GET ${path} answered ${answer.status}: ${answer.text.slice(0, 500)}`);
  return JSON.parse(Buffer.from(answer.text, 'latin1').toString()) as T;
}

/** Asks once and takes only the given statuses; its JSON, or null where there is no body. */
export async function demand<T = unknown>(socketPath: string, method: string, path: string, options: AskOptions & { readonly allow?: readonly number[] } = {}): Promise<T> {
  const answer = await ask(socketPath, method, path, options);
  const { allow = [200, 201, 204] } = options;
  if (!allow.includes(answer.status)) throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text.slice(0, 500)}`);
  return (answer.text === '' ? null : JSON.parse(Buffer.from(answer.text, 'latin1').toString())) as T;
}

/** What a multiplexed stream of Docker's carries, all streams together. */
export function outputOf(multiplexed: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= multiplexed.length;) {
    const length = multiplexed.readUInt32BE(at + 4);
    parts.push(multiplexed.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(parts).toString();
}

/** The lines that a container without a terminal has written. */
export async function logLines(socketPath: string, id: string): Promise<string[]> {
  const answer = await read(socketPath, `/containers/${id}/logs?stdout=1&stderr=1`);
  if (answer.status !== 200) throw new Error(`the logs of ${id} answered ${answer.status}: ${answer.text}`);
  return outputOf(Buffer.from(answer.text, 'latin1')).split('\n').filter((line) => line !== '');
}

type Verified = { ok: boolean; checked: number; subjects: number; mismatchCount: number; mismatches: unknown[] };

/** The cluster's own check of log against snapshots against projection; throws with what it found. */
export async function verified(socketPath: string): Promise<Verified> {
  const report = await readJson<Verified>(socketPath, '/cluster/verify');
  if (!report.ok) throw new Error(`verify found ${report.mismatchCount} mismatches: ${JSON.stringify(report.mismatches.slice(0, 10), null, 1)}`);
  return report;
}

export type Seen = { readonly type: string; readonly seq: number };

/** The types of everything that the log holds of a container, oldest first. */
export async function historyOf(socketPath: string, id: string): Promise<Seen[]> {
  const { events } = await readJson<{ events: { seq: number; kind: string; events: { type: string }[] }[] }>(socketPath, `/cluster/containers/${id}/history?limit=10000`);
  return events.flatMap(({ seq, events: types }) => types.map(({ type }) => ({ type, seq })));
}

