// One api with a large cluster's log: the list of its containers, and one event to all who follow its event streams at once.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog, type EventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import type { LogOfEntries } from '../../fixtures/log-entries.ts';
import { startNats } from '../../fixtures/nats.ts';
import { startApi, type ApiProcess } from '../api-process.ts';
import { quantile, round2, summary } from '../figures.ts';
import { listing } from '../log/large.ts';
import { fill, syntheticLog } from '../log/synthetic.ts';
import { memoryOf } from '../processes.ts';
import type { Session } from '../session.ts';

const subscribers = 1_000;
/** A unix socket takes no more connections than its backlog has room for. */
const atOnceOpened = 50;
const events = 60;
const warmUp = 10;
const atOnce = 256;
const longMs = 120_000;
/** Between two events, so that none waits for the one before. */
const pauseMs = 50;

/** A stream's path, and what stands once in each of its events. */
const streams = [{ path: '/events', mark: '"timeNano":' }, { path: '/cluster/events', mark: '\ndata: ' }] as const;

export async function fanOut(session: Session, { containers }: { readonly containers: number }): Promise<void> {
  const nats = await startNats();
  session.undo('nats-server', () => nats.stop());
  const log = openEventLog<Message>({ servers: nats.url, name: 'bench', logger: createLogger({ service: 'bench', level: 'silent' }), check: toMessage });
  session.undo('log', () => log.close());
  await log.ready(longMs);
  const made = syntheticLog(containers);
  session.say(`filling a log with ${made.entries.length} messages of ${containers} containers`);
  await fill(log, made, atOnce);
  const api = await startApi(session, { url: nats.url }, made.seq);
  await listing(session, api, containers);
  for (const { path, mark } of streams) await session.part(() => toAll(session, { api, log, made, path, mark }));
}

type FanOut = { readonly api: ApiProcess; readonly log: EventLog<Message>; readonly made: LogOfEntries; readonly path: string; readonly mark: string };

/** From the call of an append, with the fsync that the server's default leaves out, until the last of all subscribers has its event; all of them in this one process. */
async function toAll(session: Session, { api, log, made, path, mark }: FanOut): Promise<void> {
  const before = memoryOf(api.pid);
  const followers = new Followers(path, mark);
  session.undo(`subscribers of ${path}`, () => { followers.close(); });
  while (followers.count < subscribers) await followers.open(api.socket, atOnceOpened);
  const last: number[] = [];
  const middle: number[] = [];
  for (let n = -warmUp; n < events; n++) {
    const from = performance.now();
    const all = followers.next();
    await tellOne(log, made);
    const times = (await all).map((at) => at - from);
    if (n < 0) continue;
    last.push(Math.max(...times));
    middle.push(quantile(times, 0.5));
    await delay(pauseMs);
  }
  const after = memoryOf(api.pid);
  session.tell({
    figure: `event to ${subscribers} subscribers`, unit: 'ms', side: path, ...summary(last), toTheMedianSubscriber: round2(quantile(middle, 0.5)),
    apiMiB: round2(after.pssBytes / 2 ** 20), apiKiBPerSubscriber: round2((after.pssBytes - before.pssBytes) / 2 ** 10 / subscribers),
  });
}

let told = 0;

/** One message that Docker has one event for. */
async function tellOne(log: EventLog<Message>, made: LogOfEntries): Promise<void> {
  told += 1;
  made.pull(told, `docker.io/library/scale:${told}`);
  const entry = made.entries.at(-1)!;
  await log.append({ subject: entry.subject, message: toMessage(JSON.parse(Buffer.from(entry.payload).toString())), expectedSeq: 0 });
}

/** Clients of a stream that count its events and read nothing of them. */
class Followers {
  readonly #sockets: Socket[] = [];
  readonly #path: string;
  readonly #mark: string;
  #times: number[] = [];
  #all: PromiseWithResolvers<readonly number[]> | null = null;

  constructor(path: string, mark: string) {
    this.#path = path;
    this.#mark = mark;
  }

  get count(): number {
    return this.#sockets.length;
  }

  /** Opens some more; resolves when the heads of the answers are there: what comes from then on reaches them. */
  async open(socketPath: string, count: number): Promise<void> {
    const heads: Promise<undefined>[] = [];
    const mark = this.#mark;
    for (let n = 0; n < count; n++) {
      const head = Promise.withResolvers<undefined>();
      const socket = connect({ path: socketPath });
      // The end of what came before: a mark may come in two pieces.
      let rest = '';
      socket.setEncoding('latin1');
      socket.on('data', (data: unknown) => {
        head.resolve(undefined);
        const text = rest + String(data);
        rest = text.slice(-(mark.length - 1));
        for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) this.#heard();
      });
      const fail = (error: Error): void => {
        head.reject(error);
        this.#all?.reject(error);
      };
      socket.on('error', fail).on('close', () => { fail(new Error(`the api closed a stream of ${this.#path}`)); });
      socket.write(`GET ${this.#path} HTTP/1.1\r\nhost: bench\r\n\r\n`);
      this.#sockets.push(socket);
      heads.push(head.promise);
    }
    await Promise.all(heads);
  }

  /** When each of them has the next event. */
  async next(): Promise<readonly number[]> {
    this.#times = [];
    this.#all = Promise.withResolvers();
    const timer = setTimeout(() => this.#all?.reject(new Error(`only ${this.#times.length} of ${subscribers} subscribers of ${this.#path} have the event`)), longMs);
    try {
      return await this.#all.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    for (const socket of this.#sockets) {
      socket.removeAllListeners().on('error', () => undefined);
      socket.destroy();
    }
  }

  #heard(): void {
    this.#times.push(performance.now());
    if (this.#times.length === subscribers) this.#all?.resolve(this.#times);
  }
}
