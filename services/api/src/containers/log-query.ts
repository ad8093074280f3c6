// What `docker logs` and `docker service logs` ask for, as hosts are asked for it. Pure.
import type { Static } from 'typebox';
import type { DockerLogsQuery, HostPipes } from '@pouch/contracts';
import { badField } from '../errors.ts';
import { parseInstant } from '../events/time.ts';

export type LogsAsked = Omit<HostPipes['container.logs']['params'], 'containerId'>;

export function logsAsked({ stdout = false, stderr = false, follow = false, timestamps = false, tail, since, until }: Static<typeof DockerLogsQuery>, nowMs: number): LogsAsked {
  if (!stdout && !stderr) throw badField('stdout', 'Bad parameters: you must choose at least one stream');
  return { stdout, stderr, follow, timestamps, tail: tailLines(tail), sinceNs: logTime('since', since, nowMs), untilNs: logTime('until', until, nowMs) };
}

/** An instant as ns since 1970 in decimal text; null where none is asked for (absent, empty or 0). Seconds with a fraction keep all their digits. */
export function logTime(field: string, text: string | undefined, nowMs: number): string | null {
  if (text === undefined || text === '' || text === '0') return null;
  const seconds = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (seconds !== null) {
    const ns = BigInt(seconds[1] ?? 0) * 1_000_000_000n + BigInt((seconds[2] ?? '').padEnd(9, '0'));
    return ns === 0n ? null : String(ns);
  }
  const ms = parseInstant(text, nowMs);
  if (ms === null || ms < 0) throw badField(field, `${JSON.stringify(text.slice(0, 64))} is no time: give unix seconds or RFC 3339`);
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n);
}

/** Lines from the end; null: all of them. */
export function tailLines(text: string | undefined): number | null {
  if (text === undefined || text === '' || text === 'all' || text === '-1') return null;
  if (!/^\d{1,15}$/.test(text)) throw badField('tail', `${JSON.stringify(text.slice(0, 40))} is neither a number of lines nor all`);
  return Number(text);
}
