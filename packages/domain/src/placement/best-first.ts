// A heap of hosts by score, the best on top. A host that is put in again, or taken out, leaves its old entry behind, which is passed over when it comes up.
import type { HostId } from '../ids.ts';

interface Entry {
  readonly hostId: HostId;
  readonly score: number;
}

/** Old entries for each one that counts, beyond which the heap is made anew. */
const maxOldShare = 2;
const minOld = 64;

export class BestFirst {
  #entries: Entry[] = [];
  /** The entry of each host that counts. */
  readonly #present = new Map<HostId, Entry>();

  get size(): number {
    return this.#present.size;
  }

  /** Puts a host in, or changes its score. */
  put(hostId: HostId, score: number): void {
    if (this.#present.get(hostId)?.score === score) return;
    const entry = { hostId, score };
    this.#present.set(hostId, entry);
    this.#entries.push(entry);
    this.#rise(this.#entries.length - 1);
    if (this.#entries.length > this.#present.size * maxOldShare + minOld) this.#remake();
  }

  take(hostId: HostId): void {
    this.#present.delete(hostId);
  }

  /** The host with the highest score, of equals the one with the lowest id; null: there is none. */
  best(): Entry | null {
    for (let top = this.#entries[0]; top !== undefined; top = this.#entries[0]) {
      if (this.#present.get(top.hostId) === top) return top;
      const last = this.#entries.pop() as Entry;
      if (last === top) continue;
      this.#entries[0] = last;
      this.#sink(0);
    }
    return null;
  }

  /** Some of the best, `count` at most, in no order. */
  some(count: number): HostId[] {
    const found: HostId[] = [];
    for (let at = 0; at < this.#entries.length && at < count * 4 && found.length < count; at++) {
      const entry = this.#entries[at] as Entry;
      if (this.#present.get(entry.hostId) === entry) found.push(entry.hostId);
    }
    return found;
  }

  #remake(): void {
    this.#entries = [...this.#present.values()];
    for (let at = (this.#entries.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  #rise(from: number): void {
    const entries = this.#entries;
    const entry = entries[from] as Entry;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] as Entry;
      if (!isBefore(entry, above)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  #sink(from: number): void {
    const entries = this.#entries;
    const entry = entries[from] as Entry;
    let at = from;
    for (let child = 2 * at + 1; child < entries.length; child = 2 * at + 1) {
      const other = entries[child + 1];
      const better = other !== undefined && isBefore(other, entries[child] as Entry) ? child + 1 : child;
      const below = entries[better] as Entry;
      if (!isBefore(below, entry)) break;
      entries[at] = below;
      at = better;
    }
    entries[at] = entry;
  }
}

const isBefore = (one: Entry, other: Entry): boolean => one.score > other.score || (one.score === other.score && one.hostId < other.hostId);
