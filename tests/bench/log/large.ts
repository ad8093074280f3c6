// A large cluster's log: how fast the projection is built again from it, and how fast its containers are listed.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { Projection } from '../../../services/api/src/projection/projection.ts';
import { startNats } from '../../fixtures/nats.ts';
import { median, round2, summary } from '../figures.ts';
import { memoryOf } from '../memory.ts';
import type { Session } from '../session.ts';
import { startApi } from './api-process.ts';
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
  await rebuilds(session, nats.url, rounds);
  await listing(session, nats.url, made.seq);
}

async function rebuilds(session: Session, servers: string, rounds: number): Promise<void> {
  const logger = createLogger({ service: 'bench', level: 'silent' });
  const projection = Projection.open({ directory: join(await session.directory('projection'), 'p'), log: { servers }, retention: { maxAgeMs: null, maxMessages: null, endedMs: 3_600_000 }, logger });
  let open = true;
  const close = async (): Promise<void> => {
    if (open) await projection.stop();
    open = false;
  };
  session.undo('projection', close);
  await projection.whenCurrent({ timeoutMs: longMs });
  const rates: number[] = [];
  let messages = 0;
  for (let round = 0; round < rounds; round++) {
    for await (const progress of projection.rebuild()) {
      if (progress.state === 'failed') throw new Error(`the rebuild failed: ${progress.error}`);
      if (progress.state !== 'done') continue;
      rates.push(progress.messages / (progress.elapsedMs / 1_000));
      messages = progress.messages;
    }
    session.say(`rebuilt: ${Math.round(rates.at(-1) ?? 0)} messages/s`);
    await delay(500); // the old file is being removed
  }
  await close();
  const value = Math.round(median(rates));
  session.tell({ figure: 'rebuild with history', unit: '1/s', value, best: Math.round(Math.max(...rates)), messages, rounds, goal: goalPerSecond, met: value >= goalPerSecond });
}

async function listing(session: Session, natsUrl: string, seq: number): Promise<void> {
  const api = await startApi(session, natsUrl, seq);
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
