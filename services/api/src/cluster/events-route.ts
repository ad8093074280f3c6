// GET /cluster/events: every message of the log as server-sent events. `id:` is the sequence, so a client that comes back with Last-Event-ID
// gets what it missed, each message once.
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ClusterEventsQuery, type ClusterEvent, type ClusterStreamError } from '@pouch/contracts';
import type { HistoryRow } from '@pouch/projections';
import { HttpError, badField } from '../errors.ts';
import { StreamWriter } from '../events/stream-writer.ts';
import type { Projection } from '../projection/projection.ts';
import type { ClusterDeps } from './deps.ts';
import { clusterEvent, historyFilter, listOf, selected, type EventSelection } from './event.ts';
import { instant } from './instant.ts';

/** Comments that keep connections open through proxies which cut silent ones. */
const heartbeatMs = 15_000;
/** Rows of one write. */
const maxChunkBytes = 64 * 1024;

interface Told {
  readonly event: ClusterEvent;
  readonly chunk: Buffer;
}

export function clusterEventsRoute(app: FastifyInstance, { projection, clock, logger, streamLimits }: ClusterDeps): void {
  // Every follower of live rows is handed the same rows: each is rendered once.
  const rendered = new WeakMap<HistoryRow, Told>();
  const render = (row: HistoryRow): Told => {
    const before = rendered.get(row);
    if (before !== undefined) return before;
    const event = clusterEvent(row);
    const told = { event, chunk: Buffer.from(`id: ${row.seq}\ndata: ${JSON.stringify(event)}\n\n`) };
    rendered.set(row, told);
    return told;
  };

  app.get<{ Querystring: ClusterEventsQuery }>(
    '/cluster/events',
    { schema: { querystring: ClusterEventsQuery, summary: 'Every message of the log, as server-sent events; Last-Event-ID resumes', tags: ['Cluster'], produces: ['text/event-stream'] } },
    async (request, reply) => {
      const { query } = request;
      const nowMs = clock.now();
      const selection = selectionOf(query, nowMs, projection);
      const follow = query.follow !== '0' && query.follow !== 'false';
      let at = beginning(request, selection, projection, follow);
      const { untilMs } = selection;
      const live = follow && (untilMs === null || untilMs > nowMs);
      projection.tail.requireRoom();
      reply.hijack();
      const writer = new StreamWriter(reply.raw, streamLimits);
      writer.begin({ ...reply.getHeaders(), 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
      // An id without data moves Last-Event-ID on past what the filters left out.
      const heartbeat = setInterval(() => writer.nudge(`: still here\nid: ${at}\n\n`), heartbeatMs);
      const timeUp = new AbortController();
      const timer = live && untilMs !== null ? setTimeout(() => timeUp.abort(), Math.min(untilMs - nowMs, 2 ** 31 - 1)) : undefined;
      const lastWords = (code: ClusterStreamError['code'], message: string): string => `event: error\ndata: ${JSON.stringify({ code, message, seq: at } satisfies ClusterStreamError)}\n\n`;

      const tell = async (goOn: boolean, signal: AbortSignal): Promise<'ended' | 'reset' | 'stalled' | 'gone'> => {
        const pages = projection.tail.follow({ afterSeq: at, live: goOn, filter: historyFilter(selection), signal });
        for (let next = await pages.next(); ; next = await pages.next()) {
          if (next.done === true) return next.value;
          for (const chunk of chunksOf(next.value.rows, render, selection)) {
            const outcome = await writer.write(chunk.bytes);
            at = chunk.lastSeq;
            if (outcome !== 'written') {
              await pages.return('ended');
              return outcome;
            }
          }
          at = next.value.scannedTo;
        }
      };
      try {
        let outcome = await tell(live, AbortSignal.any([writer.signal, timeUp.signal]));
        // What was committed between the last look and `until` still belongs to it.
        if (outcome === 'ended' && timeUp.signal.aborted) outcome = await tell(false, writer.signal);
        if (outcome === 'stalled') logger.warn({ path: '/cluster/events', seq: at }, 'a client that does not read was cut');
        const words = outcome === 'stalled' ? lastWords('slow-reader', 'this client reads too slowly and is cut; resume with Last-Event-ID') : outcome === 'reset' ? lastWords('rebuilt', 'the log is another one now, or the api is closing; begin again') : '';
        writer.end(words);
      } catch (error) {
        // The head is sent: the client is told by an end, and comes back with Last-Event-ID.
        logger.error({ path: '/cluster/events', seq: at, err: error }, 'a stream of events broke off');
        writer.end();
      } finally {
        clearInterval(heartbeat);
        clearTimeout(timer);
      }
    },
  );
}

/** Rows that are asked for, put together to chunks of a size that is worth a write. */
function* chunksOf(rows: readonly HistoryRow[], render: (row: HistoryRow) => Told, selection: EventSelection): Generator<{ bytes: Buffer; lastSeq: number }> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  let lastSeq = 0;
  for (const row of rows) {
    const { event, chunk } = render(row);
    if (!selected(row, event, selection)) continue;
    waiting.push(chunk);
    bytes += chunk.length;
    lastSeq = row.seq;
    if (bytes < maxChunkBytes) continue;
    yield { bytes: Buffer.concat(waiting), lastSeq };
    waiting = [];
    bytes = 0;
  }
  const [only] = waiting;
  if (only !== undefined) yield { bytes: waiting.length === 1 ? only : Buffer.concat(waiting), lastSeq };
}

function selectionOf(query: ClusterEventsQuery, nowMs: number, projection: Projection): EventSelection {
  const containers = listOf(query.container);
  const ids = (containers ?? []).flatMap((reference) => {
    const resolved = projection.present.resolveContainer(reference);
    return resolved.ok ? [resolved.container.state.id] : [];
  });
  const sinceMs = query.since === undefined ? null : instant('since', query.since, nowMs);
  const untilMs = query.until === undefined ? null : instant('until', query.until, nowMs);
  if (sinceMs !== null && untilMs !== null && untilMs < sinceMs) throw badField('until', 'it must not be before since');
  return { kinds: listOf(query.kind), hosts: listOf(query.host), containers, containerIds: new Set(ids), types: listOf(query.type), actors: listOf(query.actor), sinceMs, untilMs };
}

/** The sequence after which to begin: Last-Event-ID, `afterSeq`, `since`; else all of the past when it is not followed, and none of it when it is. */
function beginning(request: FastifyRequest<{ Querystring: ClusterEventsQuery }>, { sinceMs, untilMs }: EventSelection, projection: Projection, follow: boolean): number {
  const { history, seq } = projection;
  const header = request.headers['last-event-id'];
  const resumed = typeof header === 'string' && header !== '' ? wholeNumber(header) : request.query.afterSeq;
  if (resumed !== undefined) {
    const floor = history.floor();
    // 0 asks for whatever there is; any other number was seen, and what came after it must all be there.
    if (resumed > 0 && resumed < floor.seq) throw new HttpError(410, `Last-Event-ID: the history reaches back to ${floor.seq} only, so what came after ${resumed} cannot be told without a gap`);
    const head = Math.max(seq, projection.health().logSeq ?? 0);
    if (resumed > head) throw new HttpError(409, `Last-Event-ID: the log ends at ${head}, so ${resumed} is of another log`);
    return resumed;
  }
  if (sinceMs !== null) return (history.firstSeqSince(Math.floor(sinceMs)) ?? seq + 1) - 1;
  return follow && untilMs === null ? seq : 0;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw badField('Last-Event-ID', 'it must be a sequence of the log');
  return Number(text);
}
