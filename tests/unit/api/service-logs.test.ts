// Logs of several replicas as one stream: by time, each line once, also over hosts that cannot be reached for a while, and at the pace of whoever reads.
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { HostUnreachable, PipeBroken, RemoteError, type ClientPipe } from '@pouch/pipes';
import type { LogsAsked } from '../../../services/api/src/containers/log-query.ts';
import type { Hosts } from '../../../services/api/src/deps.ts';
import { stampedLines, stampNs, stampOf, written, type StampedLine } from '../../../services/api/src/services/logs/lines.ts';
import { maxReplicasRead, MergedLogs, ReadingPlaces, type Source, type Sources } from '../../../services/api/src/services/logs/merged.ts';

const asked: LogsAsked = { stdout: true, stderr: true, follow: false, timestamps: false, tail: null, sinceNs: null, untilNs: null };
const at = (second: number): string => stampOf(1_700_000_000_000 + 1_000 * second);

function framed({ stream, stamp, data }: StampedLine): Buffer {
  const payload = Buffer.concat([Buffer.from(`${stamp} `), data]);
  const head = Buffer.from([stream === 'stdout' ? 1 : 2, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

/** What hosts have of each container, answered as an agent answers: from a time on, the last so many, and following until it is ended or cut. */
class Written {
  readonly lines = new Map<string, StampedLine[]>();
  readonly cutOff = new Set<string>();
  readonly open: Hosts['open'];
  reads = 0;
  /** So many times a host says that it does not know the container. */
  unknown = 0;
  readonly #live = new Map<string, { pipe: Duplex; over: (error: Error | null) => void }>();

  constructor() {
    this.open = ((hostId, _name, params) => {
      const { containerId, follow, tail, sinceNs } = params as LogsAsked & { containerId: string };
      if (this.cutOff.has(hostId)) return Promise.reject(new HostUnreachable(hostId));
      if (this.unknown > 0) {
        this.unknown -= 1;
        return Promise.reject(new RemoteError('not-found', `No such container: ${containerId}`));
      }
      this.reads += 1;
      const trailer = Promise.withResolvers<Record<string, never>>();
      trailer.promise.catch(() => undefined);
      const pipe = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done(), autoDestroy: false });
      pipe.on('error', () => undefined);
      const over = (error: Error | null): void => {
        this.#live.delete(containerId);
        if (error !== null) { trailer.reject(error); pipe.destroy(error); return; }
        pipe.push(null);
        trailer.resolve({});
      };
      const all = this.lines.get(containerId) ?? [];
      const last = tail === null ? all : all.slice(all.length - Math.min(all.length, tail));
      for (const line of last) if (sinceNs === null || stampNs(line.stamp) >= BigInt(sinceNs)) pipe.push(framed(line));
      if (follow) this.#live.set(containerId, { pipe, over });
      else over(null);
      return Promise.resolve(Object.assign(pipe, { trailer: trailer.promise }) as unknown as ClientPipe<'container.logs'>);
    }) as Hosts['open'];
  }

  write(containerId: string, second: number, text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
    const line = { stream, stamp: at(second), data: Buffer.from(text) };
    this.lines.set(containerId, [...(this.lines.get(containerId) ?? []), line]);
    this.#live.get(containerId)?.pipe.push(framed(line));
  }

  followed(containerId: string): boolean {
    return this.#live.has(containerId);
  }

  end(containerId: string, error: Error | null = null): void {
    this.#live.get(containerId)?.over(error);
  }
}

/** What is listed, and told anew when it changes. */
class Listed implements Sources {
  sources: Source[] = [];
  isOver = false;
  #wake: () => void = () => undefined;
  list = (): readonly Source[] => this.sources;
  over = (): boolean => this.isOver;
  change(sources: readonly string[], isOver = false): void {
    this.sources = sources.map(source);
    this.isOver = isOver;
    this.#wake();
  }
  changed = (signal: AbortSignal): Promise<void> => new Promise((resolve) => { this.#wake = resolve; signal.addEventListener('abort', () => resolve(), { once: true }); });
}

/** `web1` is on the host `h1`. */
const source = (containerId: string): Source => ({ containerId, name: containerId, hostId: `h${containerId.slice(3)}`, begun: true, lost: false });

class Reader {
  readonly hosts = new Written();
  readonly listed = new Listed();
  readonly places: ReadingPlaces;
  readonly got: string[] = [];
  readonly pauses: number[] = [];
  readonly gone = new AbortController();
  /** What a slow client waits for before it takes more. */
  room: Promise<void> = Promise.resolve();

  constructor(...replicas: readonly string[]) {
    this.listed.change(replicas);
    this.places = new ReadingPlaces(2_000);
  }

  run(different: Partial<LogsAsked> = {}): Promise<void> {
    return new MergedLogs({
      hosts: this.hosts, sources: this.listed, asked: { ...asked, ...different }, places: this.places, nowMs: () => 1_700_000_000_000, signal: this.gone.signal,
      pause: async (ms) => { this.pauses.push(ms); await turn(); },
      write: async ({ data }, { containerId }) => { await this.room; this.gone.signal.throwIfAborted(); this.got.push(`${containerId} ${data.toString().trimEnd()}`); },
    }).run();
  }

  async until(holds: () => boolean): Promise<void> {
    for (let turns = 0; !holds(); turns++) {
      if (turns > 10_000) assert.fail(`never came to be; got ${JSON.stringify(this.got)}`);
      await turn();
    }
  }
}

test('what is there comes by its time, whichever replica wrote it', async () => {
  const reader = new Reader('web1', 'web2', 'web3');
  for (const [second, replica] of [[1, 'web2'], [2, 'web1'], [3, 'web3'], [4, 'web2'], [5, 'web1']] as const) reader.hosts.write(replica, second, `at ${second}\n`, second % 2 === 0 ? 'stderr' : 'stdout');
  await reader.run();
  assert.deepEqual(reader.got, ['web2 at 1', 'web1 at 2', 'web3 at 3', 'web2 at 4', 'web1 at 5']);
});

test('the tail is of each replica; what follows is whole, also after none at all', async () => {
  for (const [tail, past] of [[1, ['web1 c', 'web2 z']], [0, []]] as const) {
    const reader = new Reader('web1', 'web2');
    for (const [second, text] of ['a', 'b', 'c'].entries()) reader.hosts.write('web1', second, `${text}\n`);
    reader.hosts.write('web2', 9, 'z\n');
    const ended = reader.run({ tail, follow: true });
    await reader.until(() => reader.hosts.followed('web1') && reader.hosts.followed('web2'));
    reader.hosts.write('web1', 10, 'd\n');
    await reader.until(() => reader.got.length === past.length + 1);
    assert.deepEqual(reader.got, [...past, 'web1 d']);
    reader.listed.change([], true);
    for (const replica of ['web1', 'web2']) reader.hosts.end(replica);
    await ended;
  }
});

test('each line once: of several with one time, of one that was not finished, and over a pipe that breaks', async () => {
  const reader = new Reader('web1');
  for (const text of ['a\n', 'b\n']) reader.hosts.write('web1', 1, text);
  reader.hosts.write('web1', 1, 'unfini');
  const ended = reader.run({ follow: true });
  await reader.until(() => reader.hosts.followed('web1'));
  assert.deepEqual(reader.got, ['web1 a', 'web1 b']);
  // As a host has it once the rest has come.
  reader.hosts.lines.set('web1', [...(reader.hosts.lines.get('web1') ?? []).slice(0, 2), { stream: 'stdout', stamp: at(1), data: Buffer.from('unfinished\n') }]);
  reader.hosts.end('web1', new PipeBroken('the other side died'));
  await reader.until(() => reader.hosts.followed('web1'));
  reader.hosts.write('web1', 1, 'c\n', 'stderr');
  reader.hosts.write('web1', 2, 'd\n');
  await reader.until(() => reader.got.length === 6);
  assert.deepEqual(reader.got, ['web1 a', 'web1 b', 'web1 pouch: web1: its output cannot be read: the other side died; it is tried again', 'web1 unfinished', 'web1 c', 'web1 d']);
  reader.listed.change([], true);
  reader.hosts.end('web1');
  await ended;
});

test('a host that cannot be reached is told in its replica’s place, and the others go on', async () => {
  const reader = new Reader('web1', 'web2');
  reader.hosts.write('web1', 1, 'here\n');
  reader.hosts.write('web2', 2, 'there\n');
  reader.hosts.cutOff.add('h2');
  await reader.run();
  assert.deepEqual(reader.got.toSorted(), ['web1 here', 'web2 pouch: web2: its output cannot be read: host h2 does not answer: its agent is down or cut off from NATS']);
  reader.got.length = 0;
  const ended = reader.run({ follow: true });
  await reader.until(() => reader.pauses.length > 6);
  assert.deepEqual(reader.pauses.slice(0, 6), [1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  reader.hosts.cutOff.clear();
  await reader.until(() => reader.got.includes('web2 there'));
  assert.deepEqual(reader.got.filter((line) => line.startsWith('web2')), ['web2 pouch: web2: its output cannot be read: host h2 does not answer: its agent is down or cut off from NATS; it is tried again', 'web2 there']);
  // Gone with its host: nobody asks for it for ever.
  reader.hosts.cutOff.add('h2');
  reader.hosts.end('web2', new HostUnreachable('h2'));
  reader.listed.change([], true);
  reader.hosts.end('web1');
  await ended;
});

test('replicas that come are joined, those that end are read to their end', async () => {
  const reader = new Reader('web1');
  const ended = reader.run({ follow: true, tail: 0 });
  await reader.until(() => reader.hosts.followed('web1'));
  reader.hosts.write('web2', 3, 'new\n');
  reader.listed.change(['web1', 'web2']);
  await reader.until(() => reader.hosts.followed('web2'));
  reader.hosts.write('web1', 4, 'last words\n');
  reader.hosts.end('web1');
  await reader.until(() => reader.got.length === 2);
  assert.deepEqual(reader.got.toSorted(), ['web1 last words', 'web2 new']);
  // Not read again for being listed still.
  const { reads } = reader.hosts;
  reader.listed.change(['web1', 'web2']);
  await turn();
  reader.hosts.end('web2');
  reader.listed.change(['web2'], true);
  await ended;
  assert.equal(reader.hosts.reads, reads);
  assert.equal(reader.got.length, 2);
});

test('one that is still to start is waited for, also where its host has not heard of it yet', async () => {
  const reader = new Reader();
  reader.hosts.unknown = 3;
  reader.listed.sources = [{ ...source('web1'), begun: false }];
  await reader.run();
  assert.equal(reader.hosts.reads, 0);
  const ended = reader.run({ follow: true });
  await reader.until(() => reader.hosts.followed('web1'));
  reader.hosts.write('web1', 1, 'first words\n');
  await reader.until(() => reader.got.length > 0);
  assert.deepEqual([reader.got, reader.pauses.length], [['web1 first words'], 3]);
  reader.listed.change([], true);
  reader.hosts.end('web1');
  await ended;
});

test('more replicas than are read at once: it is said, and they are read when there is room', async () => {
  const replicas = Array.from({ length: maxReplicasRead + 3 }, (_, number) => `web${number}`);
  const reader = new Reader(...replicas);
  for (const replica of replicas) reader.hosts.write(replica, 1, 'x\n');
  await reader.run();
  assert.equal(reader.got.length, maxReplicasRead + 1);
  assert.match(reader.got[0] ?? '', /3 replicas cannot be read beside so many others/);
  reader.got.length = 0;
  const ended = reader.run({ follow: true });
  await reader.until(() => reader.got.length === maxReplicasRead + 1);
  for (const replica of replicas.slice(0, 3)) reader.hosts.end(replica);
  await reader.until(() => reader.got.length === replicas.length + 1);
  reader.gone.abort();
  await assert.rejects(ended);
  // Every place was given back.
  for (let place = 0; place < 2_000; place++) assert.ok(reader.places.take());
  assert.equal(reader.places.take(), false);
});

test('a client that takes nothing is waited for; one that goes ends everything', async () => {
  const reader = new Reader('web1', 'web2');
  const taken = Promise.withResolvers<void>();
  reader.room = taken.promise;
  for (let second = 0; second < 100; second++) for (const replica of ['web1', 'web2']) reader.hosts.write(replica, second, `${second}\n`);
  const ended = reader.run();
  for (let turns = 0; turns < 50; turns++) await turn();
  assert.deepEqual(reader.got, []);
  taken.resolve();
  await ended;
  assert.equal(reader.got.length, 200);
  const following = reader.run({ follow: true });
  await reader.until(() => reader.hosts.followed('web1'));
  reader.gone.abort(new Error('gone'));
  await assert.rejects(following, /gone/);
});

test('frames are read however they are cut; what are none is a broken pipe', async () => {
  const whole = Buffer.concat(['one\n', 'two\n'].map((text, second) => framed({ stream: 'stdout', stamp: at(second), data: Buffer.from(text) })));
  const read = async (bytes: Buffer, size: number): Promise<string[]> => {
    const lines: string[] = [];
    const chunks = async function* (): AsyncGenerator<Buffer> { for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size); };
    for await (const { data } of stampedLines(chunks())) lines.push(data.toString());
    return lines;
  };
  for (const size of [1, 7, 8, 9, 1_000]) assert.deepEqual(await read(whole, size), ['one\n', 'two\n']);
  await assert.rejects(read(whole.subarray(0, whole.length - 1), 10), PipeBroken);
  await assert.rejects(read(Buffer.from('raw output of a terminal that is no frame at all'), 100), PipeBroken);
});

test('a line as docker reads it: time, details, text, always with its newline', () => {
  const line = { stream: 'stderr', stamp: at(0), data: Buffer.from('oops') } as const;
  const origin = { hostId: 'a,b=c', serviceUid: 'svc', taskId: 'tsk' };
  const payload = '2023-11-14T22:13:20.000000000Z com.docker.swarm.node.id=a%2Cb%3Dc,com.docker.swarm.service.id=svc,com.docker.swarm.task.id=tsk oops\n';
  const bytes = written(line, origin, { timestamps: true, details: true, raw: false });
  assert.deepEqual([...bytes.subarray(0, 4), bytes.readUInt32BE(4), bytes.subarray(8).toString()], [2, 0, 0, 0, payload.length, payload]);
  assert.equal(written(line, origin, { timestamps: false, details: false, raw: true }).toString(), 'oops\n');
});
