// Instants as people and clients write them. Pure: now is passed in.

const unitsMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const rfc3339 = /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?([Zz]|[+-]\d{2}:?\d{2})?$/;
/** 275760-09-13: what a Date can hold. */
const latestMs = 8.64e15;

/**
 * Reads an instant: RFC 3339 and its shorter forms (UTC where no zone is said), unix seconds with a fraction of any length, whole unix ms, µs or ns
 * (told apart by size), or a duration before now such as `1h30m` or `2d`. Answers ms since 1970, a fraction of a ms kept; null when it is none of these.
 */
export function parseInstant(text: string, nowMs: number): number | null {
  const ms = numeric(text) ?? calendar(text) ?? ago(text, nowMs);
  return ms === null || !Number.isFinite(ms) || Math.abs(ms) > latestMs ? null : ms;
}

function numeric(text: string): number | null {
  if (/^-?\d{1,12}\.\d{1,18}$/.test(text)) return Number(text) * 1_000;
  if (!/^-?\d{1,19}$/.test(text)) return null;
  const value = Number(text);
  const size = Math.abs(value);
  if (size < 1e11) return value * 1_000;
  if (size < 1e14) return value;
  return size < 1e17 ? value / 1e3 : value / 1e6;
}

function calendar(text: string): number | null {
  const match = rfc3339.exec(text);
  if (match === null) return null;
  const [, date = '', minutes = '00:00', seconds = '00', fraction = '', zone = 'Z'] = match;
  const offset = zone.toUpperCase() === 'Z' ? 'Z' : zone.includes(':') ? zone : `${zone.slice(0, 3)}:${zone.slice(3)}`;
  const whole = Date.parse(`${date}T${minutes}:${seconds}${offset}`);
  // 2026-02-30 is rolled over by Date: it is not a day.
  if (Number.isNaN(whole) || new Date(`${date}T00:00:00Z`).toISOString().slice(0, 10) !== date) return null;
  return whole + (fraction === '' ? 0 : Number(`0.${fraction}`) * 1_000);
}

function ago(text: string, nowMs: number): number | null {
  if (!/^(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h|d)){1,8}$/.test(text)) return null;
  let sum = 0;
  for (const [, amount = '0', unit = 's'] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g)) sum += Number(amount) * (unitsMs[unit] ?? 0);
  return nowMs - sum;
}
