// GET /events: Docker's event stream, answered from the log's history: the past first, then what comes, without a gap between them.
import { setTimeout as delay } from 'node:timers/promises';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { toMessage } from '@pouch/contracts';
import type { Clock, Logger } from '@pouch/process';
import type { HistoryRow } from '@pouch/projections';
import { badField } from '../errors.ts';
import { parseFilters, type Filters } from '../http/filters.ts';
import type { FollowOptions } from '../projection/tail.ts';
import type { Projection } from '../projection/projection.ts';
import { dockerEventLine, dockerEvents, type DockerEvent } from './docker-events.ts';
import { eventFilter, eventFilterNames, historyFilterOf, toldKinds } from './docker-filters.ts';
import { StreamWriter, type StreamLimits } from './stream-writer.ts';
import { parseInstant } from './time.ts';

export interface EventDeps {
  readonly projection: Projection;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests. */
  readonly streamLimits?: StreamLimits;
}

const EventsQuery = Type.Object({
  since: Type.Optional(Type.String({ maxLength: 64, description: 'Tell of the past from this instant: RFC 3339, unix seconds with a fraction, or a duration ago' })),
  until: Type.Optional(Type.String({ maxLength: 64, description: 'End at this instant; in the same forms' })),
  filters: Type.Optional(Type.String({ maxLength: 65_536, description: 'JSON: {"type":["container"],"event":["die"]}' })),
});

interface Lines {
  readonly event: DockerEvent;
  readonly line: string;
}

export async function eventRoutes(app: FastifyInstance, deps: EventDeps): Promise<void> {
  const { projection, clock, logger } = deps;
  const translate = translator(projection, logger);

  app.get<{ Querystring: Static<typeof EventsQuery> }>('/events', { schema: { querystring: EventsQuery, summary: 'Monitor events', tags: ['System'] } }, async (request, reply) => {
    const { since, until, filters: filterText } = request.query;
    const nowMs = clock.now();
    const sinceMs = instantOf('since', since, nowMs);
    const untilMs = instantOf('until', until, nowMs);
    if (sinceMs !== null && untilMs !== null && untilMs < sinceMs) throw badField('until', 'it must not be before since');
    const filters = parseFilters(filterText, eventFilterNames);
    projection.tail.requireRoom();
    reply.hijack();
    const writer = new StreamWriter(reply.raw, deps.streamLimits);
    writer.begin({ ...reply.getHeaders(), 'content-type': 'application/json', 'cache-control': 'no-store' });
    try {
      const outcome = await stream({ projection, clock, writer, translate, filters, sinceMs, untilMs });
      if (outcome === 'stalled') logger.warn({ path: '/events' }, 'a client that does not read was cut');
    } catch (error) {
      // The head is sent: nothing but the end of the stream can tell the client.
      logger.error({ path: '/events', err: error }, 'a stream of events broke off');
    } finally {
      writer.end();
    }
  });
}

function instantOf(field: string, text: string | undefined, nowMs: number): number | null {
  // Docker's clients send `0` and nothing for "not asked for".
  if (text === undefined || text === '' || text === '0') return null;
  const ms = parseInstant(text, nowMs);
  if (ms === null) throw badField(field, `${JSON.stringify(text.slice(0, 64))} is no time: give RFC 3339, unix seconds, or a duration such as 10m`);
  return ms;
}

interface Stream {
  readonly projection: Projection;
  readonly clock: Clock;
  readonly writer: StreamWriter;
  readonly translate: (row: HistoryRow) => readonly Lines[];
  readonly filters: Filters;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

async function stream({ projection, clock, writer, translate, filters, sinceMs, untilMs }: Stream): Promise<'ended' | 'stalled'> {
  const matches = eventFilter(filters);
  const filter = historyFilterOf(filters);
  // As Docker: nothing of the past unless a time is asked for; `until` alone asks for all of it.
  const fromMs = sinceMs ?? (untilMs === null ? null : 0);
  let at = fromMs === null ? projection.seq : (projection.history.firstSeqSince(fromMs) ?? projection.seq + 1) - 1;
  const timeUp = new AbortController();
  const live = untilMs === null || untilMs > clock.now();
  const signal = AbortSignal.any([writer.signal, timeUp.signal]);
  if (live && untilMs !== null) void sleepUntil(untilMs, clock, writer.signal).then(() => timeUp.abort());

  const tell = async (options: Pick<FollowOptions, 'live' | 'signal'>): Promise<'ended' | 'stalled'> => {
    for await (const page of projection.tail.follow({ afterSeq: at, filter, ...options })) {
      for (const row of page.rows) {
        if (untilMs !== null && row.storedAtMs > untilMs) return 'ended';
        if (fromMs !== null && row.storedAtMs < fromMs) continue;
        const lines = translate(row).filter(({ event }) => matches(event));
        if (lines.length === 0) continue;
        const outcome = await writer.write(lines.map(({ line }) => line).join(''));
        if (outcome !== 'written') return outcome === 'gone' ? 'ended' : 'stalled';
      }
      at = page.scannedTo;
    }
    return 'ended';
  };

  const outcome = await tell({ live, signal });
  // What was committed between the last look and the instant still belongs to it.
  return outcome === 'ended' && timeUp.signal.aborted ? await tell({ live: false, signal: writer.signal }) : outcome;
}

async function sleepUntil(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    for (let left = ms - clock.now(); left > 0; left = ms - clock.now()) await delay(Math.min(left + 1, 2 ** 31 - 1), undefined, { signal, ref: false });
  } catch (error) {
    // The client has gone before the time was up: nothing is left to end.
    if (!signal.aborted) throw error;
  }
}

/** Translates rows, each once however many clients read it. A message that Docker's words cannot be made of is passed over. */
function translator(projection: Projection, logger: Logger): (row: HistoryRow) => readonly Lines[] {
  const known = new WeakMap<HistoryRow, readonly Lines[]>();
  return (row) => {
    const before = known.get(row);
    if (before !== undefined) return before;
    const lines = translated(row, projection, logger);
    known.set(row, lines);
    return lines;
  };
}

function translated(row: HistoryRow, projection: Projection, logger: Logger): readonly Lines[] {
  if (row.messageId === '' || !toldKinds.includes(row.kind)) return [];
  try {
    const message = toMessage(JSON.parse(row.message.toString('utf8')));
    const events = dockerEvents({ message, storedAtMs: row.storedAtMs }, {
      previous: () => projection.history.containerBefore(row),
      container: (id) => projection.history.containerAt(id, row.seq)?.state ?? null,
    });
    return events.map((event) => ({ event, line: dockerEventLine(event) }));
  } catch (error) {
    logger.warn({ seq: row.seq, subject: row.subject, error: String(error) }, 'no events could be made of a message');
    return [];
  }
}
