// One image, or archive, to every host that is up at once: pipes to all of them, the first one's progress shown, the end awaited of all.
import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { HostPipes } from '@pouch/contracts';
import { RemoteError, type ClientPipe } from '@pouch/pipes';
import { messageOf, type Logger } from '@pouch/process';
import type { Deps } from '../deps.ts';
import { failed, toHttpError } from '../errors.ts';
import { StreamWriter } from '../events/stream-writer.ts';
import { feed } from '../http/feed.ts';
import { errorLine, progressLine, progressOf, statusLine } from './progress.ts';

type Transfer = 'image.pull' | 'image.load';

/** Waiting for the projection to show what the hosts have told. */
export const showMs = 30_000;
/** A host resolves a name at its registry before it takes a pull; it says after ten seconds at the latest that it is at it. */
const openMs = 25_000;

interface Taken<N extends Transfer> {
  readonly hostId: string;
  readonly pipe: ClientPipe<N>;
}

export interface Sending<N extends Transfer> {
  readonly name: N;
  readonly params: HostPipes[N]['params'];
  /** What goes into every pipe; null: nothing. */
  readonly input: Readable | null;
  readonly reply: FastifyReply;
  readonly signal: AbortSignal;
  /** Last lines of the answer, of what the first host ended with. */
  readonly summary: (trailer: HostPipes[N]['trailer']) => readonly string[];
}

/** Hosts that are up, in order; 503 where there is none, or where no host can be reached since NATS is away. */
export function hostsUp({ projection, log }: Pick<Deps, 'projection' | 'log'>): string[] {
  if (!log.available) throw failed('log-unavailable', 'the log cannot be reached now: hosts cannot be asked');
  const up = projection.present.hosts().filter(({ state }) => state.state === 'up').map(({ state }) => state.id);
  if (up.length === 0) throw failed('no-hosts', 'no host is up');
  return up;
}

/** Answers with lines of progress. What fails before the first line is thrown and becomes an answer of its own; what fails later is a line. */
export async function transfer<N extends Transfer>(deps: Deps, { name, params, input, reply, signal, summary }: Sending<N>): Promise<void> {
  const { hosts, projection, logger } = deps;
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  let writer: StreamWriter | null = null;
  try {
    const { lead, others } = await openAll<N>(hostsUp(deps).map((hostId) => ({ hostId, opening: hosts.open(hostId, name, params, { timeoutMs: openMs, signal: ended }) })), logger);
    const all = [lead, ...others];
    for (const { pipe } of all) pipe.on('error', () => { /* its reader and its trailer tell */ });
    for (const { pipe } of others) pipe.resume();
    const outcomes = Promise.allSettled(all.map(({ pipe }) => pipe.trailer));
    if (input !== null) void feed(input, all.map(({ pipe }) => pipe), ended);
    else for (const { pipe } of all) pipe.end();
    for await (const line of progressOf(lead.pipe as AsyncIterable<Buffer>)) {
      writer ??= begin(reply);
      if ((await writer.write(progressLine(line))) !== 'written') stop.abort();
    }
    const trailer = await lead.pipe.trailer;
    const seqs: number[] = [];
    for (const [at, outcome] of (await outcomes).entries()) {
      if (outcome.status === 'fulfilled') seqs.push(outcome.value.seq);
      else {
        const hostId = all[at]?.hostId;
        logger.warn({ hostId, transfer: name, err: outcome.reason as unknown }, 'a further host did not get an image');
        writer ??= begin(reply);
        await writer.write(statusLine(`Host ${hostId ?? ''} did not get it: ${messageOf(outcome.reason)}`));
      }
    }
    await projection.waitForSeq(Math.max(...seqs), { timeoutMs: showMs, signal });
    writer ??= begin(reply);
    writer.end(summary(trailer).join(''));
  } catch (error) {
    stop.abort();
    if (writer === null) throw error;
    if (!(error instanceof RemoteError)) logger.warn({ transfer: name, err: error }, 'an image did not arrive');
    writer.end(errorLine(toHttpError(error).message));
  }
}

/** The first host that takes it leads. A host that refuses speaks for all; one that cannot be reached is left out while there are others. */
async function openAll<N extends Transfer>(asked: readonly { readonly hostId: string; readonly opening: Promise<ClientPipe<N>> }[], logger: Logger): Promise<{ lead: Taken<N>; others: Taken<N>[] }> {
  const settled = Promise.allSettled(asked.map(({ opening }) => opening));
  let unreachable: unknown;
  for (const [at, { hostId, opening }] of asked.entries()) {
    try {
      const pipe = await opening;
      const others: Taken<N>[] = [];
      for (const [index, outcome] of (await settled).entries()) {
        if (index === at) continue;
        const otherId = asked[index]?.hostId ?? '';
        if (outcome.status === 'fulfilled') others.push({ hostId: otherId, pipe: outcome.value });
        else logger.warn({ hostId: otherId, err: outcome.reason as unknown }, 'a host does not take an image');
      }
      return { lead: { hostId, pipe }, others };
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'unavailable') throw error;
      unreachable = error;
    }
  }
  throw unreachable;
}

function begin(reply: FastifyReply): StreamWriter {
  reply.hijack();
  const writer = new StreamWriter(reply.raw);
  writer.begin({ ...reply.getHeaders(), 'content-type': 'application/json' });
  return writer;
}
