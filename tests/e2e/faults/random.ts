// Numbers that look random and are the same for the same seed, so that a failure can be had again: POUCH_TEST_SEED=N.
import { randomInt } from 'node:crypto';

export type Random = {
  readonly seed: number;
  /** A whole number from `from` to `to`, both included. */
  between(from: number, to: number): number;
  pick<T>(from: readonly T[]): T;
  /** True once in `n` times. */
  oneIn(n: number): boolean;
  /** A source of its own, so that concurrent users do not change each other's numbers. */
  fork(): Random;
};

/** mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    seed,
    between,
    pick<T>(from: readonly T[]): T {
      const picked = from[between(0, from.length - 1)];
      if (picked === undefined) throw new Error('there is nothing to pick from');
      return picked;
    },
    oneIn: (n) => between(1, n) === 1,
    fork: () => randomOf(between(0, 2 ** 32 - 1)),
  };
}

/** The seed asked for, or a new one; the caller tells it. */
export function anySeed(): number {
  return randomInt(2 ** 31);
}
