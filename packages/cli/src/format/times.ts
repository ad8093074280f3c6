// Reads the times that flags take, and writes times. Pure; `nowMs` is passed in.
import { UsageError } from '../errors.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `10m`, `1h30m`, `1.5s`, `2d` in ms; null for what is no duration. */
export function durationMs(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return null;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) total += Number(number) * (unitMs[unit as string] as number);
  return total;
}

const written = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?$/i;

/**
 * A moment as unix seconds with up to nine decimals, the form that every server reads. Takes unix seconds, RFC 3339 and its shortenings (local
 * time where no zone is given), and durations before now such as `10m`.
 */
export function toUnixTime(flag: string, text: string, nowMs: number): string {
  if (/^-?\d+(\.\d{1,9})?$/.test(text)) return text;
  const ago = durationMs(text);
  if (ago !== null) return seconds(nowMs - ago);
  const match = written.exec(text);
  const wrong = () => new UsageError(`${flag} ${text}: expected a time such as 2026-01-31T12:00:00Z, unix seconds, or how long ago: 10m, 1h30m, 2d`);
  if (match === null) throw wrong();
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = ''] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  if (Number.isNaN(ms)) throw wrong();
  return fraction === '' ? String(ms / 1000) : `${ms / 1000}.${fraction.padEnd(9, '0')}`;
}

const seconds = (ms: number): string => (ms / 1000).toFixed(3).replace(/\.?0+$/, '');

/** RFC 3339 with nanoseconds, UTC. `nanos` are nanoseconds since 1970. */
export function rfc3339Nano(nanos: bigint): string {
  const fraction = String(((nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n).padStart(9, '0');
  return new Date(Number(nanos / 1_000_000n)).toISOString().replace(/\.\d{3}Z$/, `.${fraction}Z`);
}

/** `2026-01-31 12:00:00 +0000 UTC`, as docker's templates print times. */
export const goTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
