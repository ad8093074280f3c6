// A large cluster's log: how fast the projection is built again from it, and how fast its containers are listed.
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { toMessage, type Message, type RebuildProgress } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { startNats } from '../../fixtures/nats.ts';
import { median, round2, summary } from '../figures.ts';
import { memoryOf } from '../processes.ts';
import type { Session } from '../session.ts';
import { startApi, type ApiProcess } from '../api-process.ts';
import { fill, syntheticLog } from './synthetic.ts';

const containers = 20_000;
const goalPerSecond = 25_000;
const longMs = 120_000;
const lists = 15;
const atOnce = 256;

export async function large(session: Session, rounds: number): Promise<void> {
  const nats = await startNats();
  session.undo('nats-server', () => nats.stop());
  const logger = createLogger({ service: 'bench', level: 'silent' });
  const log = openEventLog<Message>({ servers: nats.url, name: 'bench', logger, check: toMessage });
  session.undo('log', () => log.close());
  await log.ready(longMs);
  const made = syntheticLog(containers);
  session.say(`filling a log with ${made.entries.length} messages of ${containers} containers`);
  await fill(log, made, atOnce);
  const api = await startApi(session, { url: nats.url }, made.seq);
  await listing(session, api, containers);
  await rebuilds(session, api, rounds);
}

/** In the api's own process, as `pouch cluster rebuild` asks for it; the old projection serves meanwhile. */
async function rebuilds(session: Session, { client }: ApiProcess, rounds: number): Promise<void> {
  const rates: number[] = [];
  let messages = 0;
  for (let round = 0; round < rounds; round++) {
    const lines = (await text(await client.open('POST', '/cluster/rebuild'))).trim().split('\n');
    const last = JSON.parse(lines.at(-1) ?? '') as RebuildProgress;
    if (last.state !== 'done') throw new Error(`the rebuild failed: ${last.error}`);
    rates.push(last.messages / (last.elapsedMs / 1_000));
    messages = last.messages;
    session.say(`rebuilt: ${Math.round(rates.at(-1) ?? 0)} messages/s`);
    await delay(500); // the old file is being removed
  }
  const value = Math.round(median(rates));
  session.tell({ figure: 'rebuild with history', unit: '1/s', value, best: Math.round(Math.max(...rates)), messages, rounds, goal: goalPerSecond, met: value >= goalPerSecond });
}

/** The list of all containers, whole; and what the api takes with so many. */
export async function listing(session: Session, api: ApiProcess, containers: number): Promise<void> {
  const samples: number[] = [];
  let bytes = 0;
  for (let round = -2; round < lists; round++) {
    const from = performance.now();
    const response = await api.client.open('GET', '/containers/json?all=1');
    bytes = 0;
    for await (const piece of response) bytes += (piece as Buffer).length;
    if (response.statusCode !== 200) throw new Error(`the list answered ${response.statusCode}`);
    if (round >= 0) samples.push(performance.now() - from);
  }
  session.tell({ figure: `GET /containers/json of ${containers}`, unit: 'ms', ...summary(samples), bytes });
  const { rssBytes, pssBytes } = memoryOf(api.pid);
  session.tell({ figure: `memory of the api with ${containers} containers`, unit: 'MiB', rss: round2(rssBytes / 2 ** 20), pss: round2(pssBytes / 2 ** 20) });
}
