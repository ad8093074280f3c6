// The machine under a simulation: one clock, one queue of what is due, one source of chance, and processes that can die, pause and have a wrong
// clock. While it runs, the timers, clocks and random ids of this very Node are its own, so that the product runs as it is. Knows nothing of Pouch.
import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import fs from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';

/** Deterministic chance (the generator mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  is(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

/** One life of a process: what belongs to it happens while it lives and is not paused. A restart is a new one. */
export class Process {
  readonly name: string;
  alive = true;
  pausedUntilMs = 0;
  /** How far its wall clock is off. */
  skewMs = 0;
  /** Called with what it threw and nobody caught: its end. */
  onCrash: (error: unknown) => void = () => undefined;

  constructor(name: string) {
    this.name = name;
  }
}

/** Handed out for a timer; the product clears it, and nothing else. */
class Due {
  readonly process: Process;
  readonly run: () => void;
  atMs: number;
  order: number;
  cleared = false;
  readonly everyMs: number | null;

  constructor(process: Process, run: () => void, atMs: number, order: number, everyMs: number | null) {
    this.process = process;
    this.run = run;
    this.atMs = atMs;
    this.order = order;
    this.everyMs = everyMs;
  }

  ref(): this { return this; }
  unref(): this { return this; }
  hasRef(): boolean { return true; }
  [Symbol.toPrimitive](): number { return this.order; }
}

const startMs = Date.UTC(2030, 0, 1);
const maxTrace = 400;

export class Runtime {
  readonly chance: Chance;
  readonly #ids: Chance;
  readonly #here = new AsyncLocalStorage<Process>();
  readonly world = new Process('world');
  readonly trace: string[] = [];
  /** What is on the disks of this world, for who asks without waiting. */
  readonly paths = new Set<string>();
  readonly #heap: Due[] = [];
  #order = 0;
  #nowMs = 0;
  #running: Process = this.world;
  events = 0;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.#ids = new Chance(seed ^ 0x5eed1d5);
  }

  /** True time since the beginning, ms. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get wallMs(): number {
    return startMs + Math.floor(this.#nowMs);
  }

  get here(): Process {
    return this.#here.getStore() ?? this.world;
  }

  in<T>(process: Process, work: () => T): T {
    return this.#here.run(process, work);
  }

  /** Due in `process` after `delayMs`, unless it has died by then. */
  after(process: Process, delayMs: number, run: () => void, everyMs: number | null = null): Due {
    const due = new Due(process, run, this.#nowMs + Math.max(0, delayMs), ++this.#order, everyMs);
    this.#push(due);
    return due;
  }

  say(who: string, what: string): void {
    this.trace.push(`${(this.#nowMs / 1_000).toFixed(3).padStart(8)}  ${who.padEnd(12)} ${what}`);
    if (this.trace.length > 2 * maxTrace) this.trace.splice(0, maxTrace);
  }

  /** Runs what is due until `done` or `untilMs`; time passes only when nothing more can happen at this moment. */
  async run(untilMs: number, done: () => boolean): Promise<void> {
    const real = this.#install();
    try {
      while (!done()) {
        const due = this.#pop();
        if (due === undefined || due.atMs > untilMs) {
          if (due !== undefined) this.#push(due);
          this.#nowMs = untilMs;
          return;
        }
        this.#nowMs = Math.max(this.#nowMs, due.atMs);
        const { process } = due;
        if (due.cleared || !process.alive) continue;
        if (process.pausedUntilMs > this.#nowMs) {
          due.atMs = process.pausedUntilMs;
          this.#push(due);
          continue;
        }
        this.events++;
        this.#running = process;
        try {
          this.#here.run(process, due.run);
        } catch (error) {
          process.onCrash(error);
        }
        // Every promise that can go on has gone on before this comes back.
        await new Promise<void>((next) => { real.setImmediate(next); });
        if (due.everyMs !== null && !due.cleared) {
          due.atMs = this.#nowMs + due.everyMs;
          due.order = ++this.#order;
          this.#push(due);
        }
      }
    } finally {
      real.restore();
    }
  }

  #install(): { setImmediate: typeof setImmediate; restore: () => void } {
    const before = {
      setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval, setImmediate: globalThis.setImmediate,
      clearTimeout: globalThis.clearTimeout, clearInterval: globalThis.clearInterval, clearImmediate: globalThis.clearImmediate,
    };
    const realNow = Date.now;
    const realRandom = Math.random;
    const realBuiltins = { delay: timers.setTimeout, uuid: crypto.randomUUID, bytes: crypto.randomBytes, int: crypto.randomInt };
    const realFiles = { ...files };
    const realExists = fs.existsSync;
    fs.existsSync = (path) => (String(path).startsWith('/simulated/') ? this.paths.has(String(path)) : realExists(path));
    const timer = (run: (...values: unknown[]) => void, ms = 1, ...values: unknown[]): Due => this.after(this.here, Math.max(1, Number(ms)), () => run(...values));
    const clear = (due: unknown): void => { if (due instanceof Due) due.cleared = true; };
    Object.assign(globalThis, {
      setTimeout: timer,
      setInterval: (run: (...values: unknown[]) => void, ms = 1, ...values: unknown[]) => this.after(this.here, Math.max(1, ms), () => run(...values), Math.max(1, ms)),
      setImmediate: (run: (...values: unknown[]) => void, ...values: unknown[]) => this.after(this.here, 0, () => run(...values)),
      clearTimeout: clear, clearInterval: clear, clearImmediate: clear,
    });
    Date.now = () => this.wallMs + this.here.skewMs;
    performance.now = () => this.#nowMs;
    Math.random = () => this.#ids.next();
    const delay = (ms = 1, value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> => new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const due = timer(() => resolve(value), ms);
      signal?.addEventListener('abort', () => { due.cleared = true; reject(signal.reason as Error); }, { once: true });
    });
    const missing = (path: unknown): Promise<never> => Promise.reject(Object.assign(new Error(`ENOENT: no such file or directory, open '${String(path)}'`), { code: 'ENOENT' }));
    const hex = (length: number): string => Array.from({ length }, () => this.#ids.below(16).toString(16)).join('');
    Object.assign(timers, { setTimeout: delay });
    Object.assign(crypto, {
      randomUUID: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
      randomBytes: (size: number) => Buffer.from(hex(2 * size), 'hex'),
      randomInt: (limit: number) => this.#ids.below(limit),
    });
    // No host's files, /proc and control groups are part of this world: what is asked of them is not there, at once.
    for (const name of Object.keys(realFiles)) if (typeof realFiles[name as keyof typeof files] === 'function') Object.assign(files, { [name]: missing });
    Object.assign(files, { readdir: () => Promise.resolve([]) });
    syncBuiltinESMExports();
    const uncaught = (error: unknown): void => this.#running.onCrash(error);
    // A test runner would take the planned crash of a simulated process for a failure of the test.
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', uncaught);
    return {
      setImmediate: before.setImmediate,
      restore: () => {
        process.off('unhandledRejection', uncaught);
        for (const listener of listeners) process.on('unhandledRejection', listener);
        Object.assign(globalThis, before);
        Date.now = realNow;
        Math.random = realRandom;
        Reflect.deleteProperty(performance, 'now');
        Object.assign(timers, { setTimeout: realBuiltins.delay });
        Object.assign(crypto, { randomUUID: realBuiltins.uuid, randomBytes: realBuiltins.bytes, randomInt: realBuiltins.int });
        Object.assign(files, realFiles);
        fs.existsSync = realExists;
        syncBuiltinESMExports();
      },
    };
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!earlier(due, heap[parent] as Due)) break;
      heap[at] = heap[parent] as Due;
      at = parent;
    }
    heap[at] = due;
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1] as Due, heap[child] as Due)) child++;
      if (!earlier(heap[child] as Due, last)) break;
      heap[at] = heap[child] as Due;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function earlier(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
