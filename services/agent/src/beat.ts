// The heartbeat: core NATS, never in the log. Missing ones make the scheduler call the host lost, so nothing here may block or fail loudly.
import { readFileSync } from 'node:fs';
import { freemem, loadavg, totalmem } from 'node:os';
import { beatIntervalMs, beatSubject, type Beat } from '@pouch/contracts';
import type { Rooms } from './rooms.ts';

export interface BeatOptions {
  readonly rooms: Pick<Rooms, 'now'> & { readonly config: Pick<Rooms['config'], 'hostId'>; readonly tasks: Pick<Rooms['tasks'], 'ids' | 'get'>; readonly outbox: Pick<Rooms['outbox'], 'size'> };
  /** Stream sequence followed to. */
  readonly seq: () => number;
  /** Sends if there is a connection; what cannot be sent is dropped. */
  readonly publish: (subject: string, payload: string) => void;
}

/** Beats until the answer is called. */
export function startBeat({ rooms, seq, publish }: BeatOptions): () => void {
  const { config, tasks, outbox, now } = rooms;
  const beat = (): void => {
    const running = tasks.ids().filter((id) => tasks.get(id)?.status === 'running').length;
    const message: Beat = {
      hostId: config.hostId, atMs: now(), seq: seq(), outbox: outbox.size, containersRunning: running,
      memoryUsedBytes: totalmem() - availableBytes(), cpuLoad1: loadavg()[0] ?? 0,
    };
    publish(beatSubject(config.hostId), JSON.stringify(message));
  };
  beat();
  const timer = setInterval(beat, beatIntervalMs);
  return () => clearInterval(timer);
}

/** What programs can still have; caches do not count as used. */
function availableBytes(): number {
  try {
    const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return kib === undefined ? freemem() : Number(kib) * 1_024;
  } catch {
    return freemem();
  }
}
