// An image whose C library refuses the guest's kernel says so on stderr and ends: that is the reason of the exit, not just its code. Reads a
// container's log; changes nothing.
import { setTimeout as delay } from 'node:timers/promises';
import type { LogRecord } from '@pouch/native';
import { LogCursor, tailOf } from '../streams/log-files.ts';

/** glibc's words, before it ends with 127. */
const words = 'FATAL: kernel too old';
const lastLines = 3;
const maxBytes = 4_096;
/** For the log to have all of the run: its writer may be a moment behind the exit. */
const waitMs = 1_000;
const lookMs = 20;

/** The reason; null where the end of the run's output says nothing of it. `kernel`: as a person knows it. */
export async function refusedKernel(logDir: string, startId: string, kernel: string): Promise<string | null> {
  for (let waited = 0; ; waited += lookMs) {
    const { text, ended } = await endOfRun(logDir, startId);
    if (text.includes(words)) return `the image needs a newer kernel than ${kernel}: its C library says "${words}"`;
    if (ended || waited >= waitMs) return null;
    await delay(lookMs);
  }
}

async function endOfRun(dir: string, startId: string): Promise<{ readonly text: string; readonly ended: boolean }> {
  const { position } = await tailOf(dir, lastLines, () => true);
  const cursor = new LogCursor(dir, position);
  let text = '';
  let ended = false;
  try {
    for (let records: readonly LogRecord[] = await cursor.read(); records.length > 0; records = await cursor.read()) {
      for (const record of records) {
        if (record.kind === 'stdout' || record.kind === 'stderr') text = (text + record.data.toString('latin1')).slice(-maxBytes);
        else if (record.kind === 'start') text = '';
        else if (record.kind === 'end') ended = record.startId === startId;
      }
    }
  } finally {
    await cursor.close();
  }
  return { text, ended };
}
