// The log that runc's flags --log and --log-format name: a line for each thing that an engine, or whoever reads it, should know of.
import { appendFileSync } from 'node:fs';
import { messageOf } from './failure.ts';
import type { Globals } from './globals.ts';

/** Appends a line where a log is named. A log that cannot be written is said on stderr, and ends nothing. */
export function logLine({ log, logFormat }: Globals, level: 'warning' | 'error', message: string): void {
  if (log === undefined) return;
  const time = new Date().toISOString();
  const line = logFormat === 'json' ? JSON.stringify({ level, msg: message, time }) : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
  try {
    appendFileSync(log, `${line}\n`, { mode: 0o644 });
  } catch (error) {
    process.stderr.write(`the log ${log} cannot be written: ${messageOf(error)}\n`);
  }
}
