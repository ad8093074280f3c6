// NATS of the simulation: the log's twin in memory behind the network, and the buckets beside it. What a client gets keeps the contract of EventLog
// (order, each sequence once, no gap), as the real one's ordered consumer does; everything else may be late, lost or done twice.
import { everySubject, toMessage, type Message, type Recorded } from '@pouch/contracts';
import { LogUnavailable, MemoryBucket, MemoryEventLog, subjectMatches, type Bucket, type BucketEntry, type EventLog, type FollowOptions, type LogEntry, type LogIdentity, type PouchLog, type Subscription } from '@pouch/eventlog';
import type { Clock } from '@pouch/process';
import type { Link, Network } from './network.ts';
import type { Process, Runtime } from './runtime.ts';

const pollMs = 1_000;

/** What stands in the log, and who is told of what comes. */
export class LogServer {
  readonly log: MemoryEventLog<Message>;
  readonly buckets: { readonly names: MemoryBucket; readonly leases: MemoryBucket };
  readonly entries: LogEntry[] = [];
  readonly #heads = new Map<string, LogEntry>();
  readonly #decoded = new WeakMap<LogEntry, Recorded>();
  readonly #listeners = new Set<(entry: LogEntry) => void>();

  constructor(clock: Clock, onMessage: (recorded: Recorded) => void) {
    this.log = new MemoryEventLog<Message>({ clock, check: toMessage });
    this.buckets = { names: new MemoryBucket({ clock }), leases: new MemoryBucket({ clock, ttlMs: 2_000 }) };
    this.log.follow({
      filter: everySubject, from: { seq: 1 }, onFailed: (error) => { throw error; },
      onEntries: (entries) => {
        for (const entry of entries) {
          this.entries.push(entry);
          this.#heads.set(entry.subject, entry);
          onMessage(this.decoded(entry));
          for (const listener of this.#listeners) listener(entry);
        }
      },
    });
  }

  /** Decoded once for all: nobody changes a message. */
  decoded(entry: LogEntry): Recorded {
    let recorded = this.#decoded.get(entry);
    if (recorded === undefined) this.#decoded.set(entry, (recorded = this.log.decode(entry) as Recorded));
    return recorded;
  }

  heads(filter: string): LogEntry[] {
    return [...this.#heads.values()].filter(({ subject }) => subjectMatches(filter, subject)).sort((a, b) => a.seq - b.seq);
  }

  since(seq: number, filter: string): LogEntry[] {
    // Sequences have no gaps here: nothing is purged.
    return this.entries.slice(seq).filter(({ subject }) => subjectMatches(filter, subject));
  }

  listen(listener: (entry: LogEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The log as one process sees it. */
export class ClientLog implements EventLog<Message> {
  readonly #runtime: Runtime;
  readonly #network: Network;
  readonly #server: LogServer;
  readonly #client: Process;
  readonly #link: Link;
  readonly #listeners = new Set<(available: boolean) => void>();
  #available = true;

  constructor(parts: { runtime: Runtime; network: Network; server: LogServer; client: Process; link: Link }) {
    this.#runtime = parts.runtime;
    this.#network = parts.network;
    this.#server = parts.server;
    this.#client = parts.client;
    this.#link = parts.link;
  }

  get available(): boolean {
    return this.#available;
  }

  #heard(available: boolean): void {
    if (available === this.#available) return;
    this.#available = available;
    for (const listener of this.#listeners) listener(available);
  }

  onStateChange(listener: (available: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #call<T>(work: (log: MemoryEventLog<Message>) => Promise<T>): Promise<T> {
    return this.#network.call(this.#client, this.#link, () => work(this.#server.log));
  }

  ready(): Promise<LogIdentity> {
    return this.identity();
  }

  identity(): Promise<LogIdentity> {
    return this.#call((log) => log.identity());
  }

  /** As the real one does: an answer that does not come is looked for at the head before it is called unknown. */
  append: PouchLog['append'] = async (request) => {
    try {
      return await this.#call((log) => log.append(request));
    } catch (error) {
      if (!(error instanceof LogUnavailable)) throw error;
      const head = await this.last(request.subject).catch(() => null);
      if (head?.message.id === request.message.id) return { seq: head.seq, duplicate: false };
      throw error;
    }
  };

  last: PouchLog['last'] = (subject) => this.#call((log) => log.last(subject));
  entry: PouchLog['entry'] = (seq) => this.#call((log) => log.entry(seq));
  messageIdAt: PouchLog['messageIdAt'] = (seq) => this.#call((log) => log.messageIdAt(seq));
  purge: PouchLog['purge'] = (subject, options) => this.#call((log) => log.purge(subject, options));

  read(): AsyncGenerator<readonly LogEntry[]> {
    throw new Error('nothing that runs in the simulation reads the log by batches');
  }

  decode(entry: LogEntry): Recorded {
    return this.#server.decoded(entry);
  }

  follow(options: FollowOptions<Message>): Subscription {
    const { filter, from } = options;
    let lastSeq = from === 'last-per-subject' || from === 'new' ? 0 : from.seq - 1;
    let first = from === 'last-per-subject';
    let caughtUp = false;
    let stopped = false;
    let asking = false;
    let log: LogIdentity | null = null;
    const take = (entries: readonly LogEntry[], untilSeq: number): void => {
      const news = entries.filter(({ seq }) => seq > lastSeq);
      lastSeq = Math.max(lastSeq, untilSeq);
      if (news.length === 0 || stopped) return;
      try {
        void options.onMessages?.(news.map((entry) => this.decode(entry)));
      } catch (error) {
        stopped = true;
        options.onFailed(error as Error);
      }
    };
    const ask = async (): Promise<void> => {
      if (stopped || asking) return;
      asking = true;
      try {
        const { entries, untilSeq, identity } = await this.#call(async (server) => ({
          identity: await server.identity(), entries: first ? this.#server.heads(filter) : this.#server.since(lastSeq, filter), untilSeq: this.#server.entries.length,
        }));
        first = false;
        log = identity;
        take(entries, untilSeq);
        this.#heard(true);
        if (!caughtUp && !stopped) {
          caughtUp = true;
          options.onCaughtUp?.();
        }
      } catch (error) {
        if (!(error instanceof LogUnavailable)) throw error;
        if (caughtUp) options.onInterrupted?.(error.message);
        caughtUp = false;
        this.#heard(false);
      } finally {
        asking = false;
      }
    };
    const unlisten = this.#server.listen((entry) => {
      if (!this.#client.alive) return void unlisten();
      const beforeSeq = entry.seq - 1;
      this.#network.send(this.#link, 'from', this.#client, () => {
        if (first || stopped || !caughtUp) return;
        // Something before it is missing: it is fetched with it.
        if (beforeSeq > lastSeq) return void ask();
        take(subjectMatches(filter, entry.subject) ? [entry] : [], entry.seq);
      });
    });
    const timer = this.#runtime.after(this.#client, 0, () => void ask(), pollMs);
    return {
      get lastSeq() { return lastSeq; },
      get caughtUp() { return caughtUp; },
      get log() { return log; },
      stop: async () => {
        stopped = true;
        timer.cleared = true;
        unlisten();
        await Promise.resolve();
      },
    };
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

/** A bucket as one process sees it. */
export class ClientBucket implements Bucket {
  readonly #network: Network;
  readonly #client: Process;
  readonly #link: Link;
  readonly #bucket: Bucket;

  constructor(network: Network, client: Process, link: Link, bucket: Bucket) {
    this.#network = network;
    this.#client = client;
    this.#link = link;
    this.#bucket = bucket;
  }

  get(key: string): Promise<BucketEntry | null> {
    return this.#network.call(this.#client, this.#link, () => this.#bucket.get(key));
  }

  put(key: string, value: string, expected: number): Promise<number | null> {
    return this.#network.call(this.#client, this.#link, () => this.#bucket.put(key, value, expected));
  }

  remove(key: string, expected: number): Promise<boolean> {
    return this.#network.call(this.#client, this.#link, () => this.#bucket.remove(key, expected));
  }

  async *list(): AsyncGenerator<readonly BucketEntry[]> {
    const batches = await this.#network.call(this.#client, this.#link, async () => {
      const all: (readonly BucketEntry[])[] = [];
      for await (const batch of this.#bucket.list()) all.push(batch);
      return all;
    });
    yield* batches;
  }
}
