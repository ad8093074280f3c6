// From the call of an append until the api shows it: in its projection, where requests are answered from, and at a client of its event stream.
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog, type EventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { Projection } from '../../../services/api/src/projection/projection.ts';
import { LogOfEntries } from '../../fixtures/log-entries.ts';
import { startNats } from '../../fixtures/nats.ts';
import { median, summary } from '../figures.ts';
import type { Session } from '../session.ts';
import { startApi } from '../api-process.ts';

const goalMs = 3;
const messages = 500;
/** Apart, as commands come; 200 a second at most. */
const pauseMs = 5;
const longMs = 60_000;

export async function visible(session: Session): Promise<void> {
  const nats = await startNats({ sync: 'always' });
  session.undo('nats-server', () => nats.stop());
  const logger = createLogger({ service: 'bench', level: 'silent' });
  const log = openEventLog<Message>({ servers: nats.url, name: 'bench', logger, check: toMessage });
  session.undo('log', () => log.close());
  await log.ready(longMs);

  const projection = Projection.open({ directory: join(await session.directory('projection'), 'p'), log: { servers: nats.url }, retention: { maxAgeMs: null, maxMessages: null, endedMs: 3_600_000 }, logger });
  let open = true;
  const close = async (): Promise<void> => {
    if (open) await projection.stop();
    open = false;
  };
  session.undo('projection', close);
  await projection.whenCurrent({ timeoutMs: longMs });
  const shown = await eachAppend(log, 0, (seq) => projection.waitForSeq(seq, { timeoutMs: longMs }));
  await close();
  tell(session, 'projection', shown.samples);

  const api = await startApi(session, { url: nats.url }, shown.seq);
  const stream = new EventStream(api.socket, shown.seq);
  session.undo('event stream', () => { stream.close(); });
  await stream.opened;
  const streamed = await eachAppend(log, messages, (seq) => stream.until(seq));
  tell(session, 'client of /cluster/events', streamed.samples);
}

function tell(session: Session, side: string, samples: readonly number[]): void {
  session.tell({ figure: 'append to visible', unit: 'ms', side, ...summary(samples), goal: goalMs, met: median(samples) < goalMs });
}

/** Appends one message after the other and waits until each is visible. */
async function eachAppend(log: EventLog<Message>, skip: number, isVisible: (seq: number) => Promise<void>): Promise<{ samples: number[]; seq: number }> {
  const made = new LogOfEntries({ tag: `visible-${skip}` });
  for (let n = skip; made.entries.length < messages; n++) {
    made.create(n);
    made.exit(n, made.start(n));
  }
  const heads = new Map<string, number>();
  const samples: number[] = [];
  let last = 0;
  for (const { subject, payload } of made.entries) {
    const message = toMessage(JSON.parse(Buffer.from(payload).toString()));
    await delay(pauseMs);
    const from = performance.now();
    const { seq } = await log.append({ subject, message, expectedSeq: heads.get(subject) ?? 0 });
    await isVisible(seq);
    samples.push(performance.now() - from);
    heads.set(subject, seq);
    last = seq;
  }
  return { samples, seq: last };
}

/** Reads server-sent events and remembers the last id. */
class EventStream {
  readonly opened: Promise<void>;
  readonly #response: Promise<IncomingMessage>;
  #seq = 0;
  #waiting: { readonly seq: number; readonly resolve: () => void } | undefined;

  constructor(socketPath: string, afterSeq: number) {
    const outgoing = request({ socketPath, path: '/cluster/events', agent: false, headers: { host: 'bench', 'last-event-id': String(afterSeq) } });
    outgoing.on('error', () => undefined); // it is closed by us while it lives
    outgoing.end();
    this.#response = once(outgoing, 'response').then(([response]) => response as IncomingMessage);
    this.opened = this.#response.then((response) => this.#read(response));
  }

  async until(seq: number): Promise<void> {
    if (this.#seq >= seq) return;
    await new Promise<void>((resolve) => { this.#waiting = { seq, resolve }; });
  }

  close(): void {
    void this.#response.then((response) => response.destroy());
  }

  #read(response: IncomingMessage): void {
    if (response.statusCode !== 200) throw new Error(`/cluster/events answered ${response.statusCode}`);
    let rest = '';
    response.on('error', () => undefined); // as above
    response.setEncoding('utf8').on('data', (text: string) => {
      rest += text;
      const end = rest.lastIndexOf('\n\n');
      if (end < 0) return;
      for (const [, id] of rest.slice(0, end).matchAll(/^id: (\d+)$/gm)) this.#seq = Math.max(this.#seq, Number(id));
      rest = rest.slice(end + 2);
      if (this.#waiting !== undefined && this.#seq >= this.#waiting.seq) this.#waiting.resolve();
    });
  }
}
