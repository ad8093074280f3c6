// How many ready machines an image is worth, by its recent use. Pure.

export interface Use { readonly atMs: number }

export interface PoolLimits {
  /** Members of one key. */
  readonly most: number;
  readonly idleMs: number;
}

/** About how long making one takes: what comes within it must be there already. */
export const fillMs = 10_000;

/** None without a use within `idleMs`; else as many as came within the busiest `fillMs` of it, at least one and at most `most`. */
export function targetSize(uses: readonly Use[], nowMs: number, { most, idleMs }: PoolLimits): number {
  const times = uses.map(({ atMs }) => atMs).filter((atMs) => nowMs - atMs < idleMs && atMs <= nowMs).sort((a, b) => a - b);
  let busiest = 0;
  for (let first = 0, last = 0; last < times.length; last++) {
    while ((times[last] as number) - (times[first] as number) >= fillMs) first++;
    busiest = Math.max(busiest, last - first + 1);
  }
  return Math.min(most, busiest);
}

/** How many more guests of `guestBytes` fit beside those that wait. */
export function roomFor(guestBytes: number, waiting: readonly number[], poolBytes: number, availableBytes: number): number {
  const left = poolBytes - waiting.reduce((sum, bytes) => sum + bytes, 0);
  // A guest may come to use all its memory once it is claimed; half of what the host has left is not the pool's to promise.
  return Math.max(0, Math.floor(Math.min(left, availableBytes / 2) / guestBytes));
}
