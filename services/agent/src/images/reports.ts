// Tells the log which images this host has: compares what the log was told with what containerd has, and appends the difference. The
// comparison is made again whenever the log was away, so nothing need be queued.
import { createHash, randomUUID } from 'node:crypto';
import { imageSubject, type Message } from '@pouch/contracts';
import { decideImage, imageKey, type HostId, type Image, type ImageArrival, type ImageCommand } from '@pouch/domain';
import { execute, LogUnavailable, type EventLog } from '@pouch/eventlog';
import { retry, type Logger } from '@pouch/process';
import type { Inventory, Named } from './inventory.ts';

export interface ReportsDeps {
  readonly log: EventLog<Message>;
  readonly logger: Logger;
  readonly hostId: HostId;
  readonly now: () => number;
  readonly inventory: Inventory;
}

/** What is behind a change, for those names that were asked for. */
export interface Change {
  /** Told of even where the log knows it already, as Docker tells of every pull. */
  readonly arrivals?: ReadonlyMap<string, ImageArrival>;
  readonly actor: string;
}

type Known = Pick<Named['record'], 'id' | 'manifestDigest'>;

const attempts = 4;

/** Not safe to be used by two at once: the room takes turns. */
export class Reports {
  readonly #deps: ReportsDeps;
  /** What the log says is here, by name; null: it must be read. */
  #told: Map<string, Known> | null = null;
  /** The log has not been told everything. */
  #behind = false;

  constructor(deps: ReportsDeps) {
    this.#deps = deps;
  }

  get behind(): boolean {
    return this.#behind;
  }

  /** The log may be another one: it is read again before the next comparison. */
  forget(): void {
    this.#told = null;
  }

  /** Appends what has changed. Answers with the sequence after which the log knows all of it, 0 where nothing was to be told. Rejects with LogUnavailable. */
  async tell({ arrivals = new Map(), actor }: Change): Promise<number> {
    this.#behind = true;
    const told = (this.#told ??= await this.#read());
    const present = new Map((await this.#deps.inventory.list()).map((named) => [named.name, named]));
    let seq = 0;
    for (const { name, record } of present.values()) {
      const arrival = arrivals.get(name);
      const known = told.get(name);
      if (arrival === undefined && known?.manifestDigest === record.manifestDigest && known.id === record.id) continue;
      seq = Math.max(seq, await this.#append(name, { type: 'ReportImageStored', arrival: arrival ?? 'found', key: keyOf(name), hostId: this.#deps.hostId, name, record }, actor));
      told.set(name, { id: record.id, manifestDigest: record.manifestDigest });
    }
    const ids = new Set([...present.values()].map(({ record }) => record.id));
    for (const [name, { id }] of told) {
      if (present.has(name)) continue;
      seq = Math.max(seq, await this.#append(name, { type: 'ReportImageUntagged', deleted: !ids.has(id) }, actor));
      told.delete(name);
    }
    this.#behind = false;
    return seq;
  }

  async #append(name: string, command: ImageCommand, actor: string): Promise<number> {
    const { log, hostId, logger, now } = this.#deps;
    const commandId = randomUUID();
    const atMs = now();
    const executed = await retry(() => execute({
      log, kind: 'image', subject: imageSubject(hostId, keyOf(name)), commandId,
      meta: { atMs, service: 'agent', actor, cause: null },
      decide: (state) => decideImage(state, command, atMs),
    }), { attempts, firstDelayMs: 100, maxDelayMs: 1_000, retryIf: (error) => error instanceof LogUnavailable && error.outcome === 'unknown' });
    if (!executed.ok) logger.info({ image: name, refusal: executed.refusal }, 'a change of an image was no news');
    else if (executed.appended) logger.info({ image: name, seq: executed.seq, events: executed.events.map(({ type }) => type) }, 'image told');
    return executed.seq;
  }

  async #read(): Promise<Map<string, Known>> {
    const { log, hostId } = this.#deps;
    const told = new Map<string, Known>();
    for await (const batch of log.read({ filter: `evt.image.${hostId}.>` })) {
      for (const entry of batch) {
        const image = log.decode(entry).message.snapshot as Image;
        if (image.state === 'present') told.set(image.name, { id: image.record.id, manifestDigest: image.record.manifestDigest });
        else told.delete(image.name);
      }
    }
    return told;
  }
}

/** First half of the sha256 of a name: a token of the log's subjects. */
export const keyOf = (name: string): Image['key'] => imageKey(createHash('sha256').update(name).digest('hex').slice(0, 32));
