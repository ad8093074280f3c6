// `pouch cluster events`: the log itself as server-sent events, followed across broken connections without a gap or a repeat.
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterEvent, ClusterStreamError } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { isSystemError, type EngineClient } from '../engine/client.ts';
import { serverEvents } from '../engine/lines.ts';
import { ApiError, CliError, UnreachableError } from '../errors.ts';
import { eventWords } from '../format/event-words.ts';
import { toTemplate } from '../format/template.ts';
import { rfc3339Nano, toUnixTime } from '../format/times.ts';

export interface ClusterEventsFlags {
  readonly kind?: readonly string[];
  readonly onHost?: readonly string[];
  readonly container?: readonly string[];
  readonly type?: readonly string[];
  readonly actor?: readonly string[];
  readonly since?: string;
  readonly until?: string;
  readonly after?: string;
  /** False with --no-follow. */
  readonly follow?: boolean;
  readonly format?: string;
}

/** Reconnections in a row without one event between them. */
const maxRetries = 8;
const firstDelayMs = 250;
const longestDelayMs = 8_000;

export async function clusterEvents(context: Context, flags: ClusterEventsFlags): Promise<number> {
  const print = flags.format === undefined ? clusterEventLine : flags.format === 'json' ? (event: ClusterEvent) => JSON.stringify(event) : toTemplate(flags.format);
  const now = Date.now();
  const list = (values: readonly string[] | undefined) => (values === undefined ? undefined : values.join(','));
  const query = {
    kind: list(flags.kind),
    host: list(flags.onHost),
    container: list(flags.container),
    type: list(flags.type),
    actor: list(flags.actor),
    since: flags.since === undefined ? undefined : toUnixTime('--since', flags.since, now),
    until: flags.until === undefined ? undefined : toUnixTime('--until', flags.until, now),
    follow: flags.follow === false ? 0 : undefined,
  };
  const client = await context.client();
  const follower = { lastId: flags.after ?? '', retryMs: firstDelayMs, reached: false };
  for (let failures = 0; ; ) {
    const before = follower.lastId;
    const end = await followOnce(client, query, follower, print);
    if (end.finished || flags.follow === false || flags.until !== undefined) {
      if (end.problem !== null) throw end.problem;
      return 0;
    }
    failures = follower.lastId === before ? failures + 1 : 1;
    if (failures > maxRetries) throw end.problem ?? new CliError(`the API ended the stream ${maxRetries} times in a row`);
    process.stderr.write(`pouch: ${end.problem?.message ?? 'the API ended the stream'}; resuming after ${follower.lastId === '' ? 'the beginning' : `sequence ${follower.lastId}`}\n`);
    await delay(Math.min(longestDelayMs, follower.retryMs * 2 ** (failures - 1)));
  }
}

interface Follower {
  lastId: string;
  retryMs: number;
  /** Whether the API ever answered: there is nothing to resume where nobody was reached. */
  reached: boolean;
}

/** One connection, to its end. `finished`: coming again would not help. */
async function followOnce(client: EngineClient, query: Readonly<Record<string, string | number | undefined>>, follower: Follower, print: (event: ClusterEvent) => string): Promise<{ finished: boolean; problem: CliError | null }> {
  try {
    const headers = { accept: 'text/event-stream', ...(follower.lastId === '' ? {} : { 'last-event-id': follower.lastId }) };
    const response = await client.stream('GET', '/cluster/events', { query, headers });
    follower.reached = true;
    for await (const { event, data, id, retryMs } of serverEvents(response as AsyncIterable<Uint8Array>)) {
      if (retryMs !== null) follower.retryMs = Math.min(longestDelayMs, Math.max(firstDelayMs, retryMs));
      if (event === 'error') return { finished: false, problem: new CliError((JSON.parse(data) as ClusterStreamError).message) };
      if (event === 'message' || event === 'event') process.stdout.write(`${print(JSON.parse(data) as ClusterEvent)}\n`);
      if (id !== '') follower.lastId = id;
    }
    return { finished: false, problem: null };
  } catch (error) {
    if (error instanceof ApiError) return { finished: error.status < 500, problem: error };
    if (error instanceof UnreachableError) return { finished: !follower.reached, problem: error };
    if (isSystemError(error)) return { finished: false, problem: new CliError('the connection to the API broke', { cause: error }) };
    throw error;
  }
}

/** `42 2026-01-31T12:00:00.123Z container hypervisor (1a2b3c4d5e6f on host-1) ContainerExited (exit 137) by agent`. */
export function clusterEventLine(event: ClusterEvent): string {
  const time = rfc3339Nano(BigInt(event.atMs) * 1_000_000n).replace(/\d{6}Z$/, 'Z');
  const where = event.hostId === null || event.hostId === event.id ? event.id.slice(0, 12) : `${event.id.slice(0, 12)} on ${event.hostId}`;
  const who = event.actor === event.service || event.actor === '' ? event.service : `${event.actor} through ${event.service}`;
  const what = event.events.map(eventWords).join(', ');
  return `${event.seq} ${time} ${event.kind} ${event.name === null || event.name === '' ? where : `${event.name} (${where})`} ${what} by ${who}`;
}
