// Reads the small notations of container flags: sizes, ulimits, devices, restart policies, key=value. Pure; every refusal names its flag.
import { UsageError } from '../errors.ts';
import { durationMs } from '../format/times.ts';

const units: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** `512m`, `1.5g`, `64KiB`, `1024`: binary units, as docker reads them. Bytes. */
export function toBytes(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?([bkmgtp])?(?:i?b)?$/i.exec(text.trim()) ?? [];
  if (number === undefined) throw new UsageError(`${flag} ${text}: expected a size such as 512m or 2g`);
  return Math.trunc(Number(number) * (units[(unit ?? 'b').toLowerCase()] as number));
}

/** A size, or -1. */
export const toBytesOrUnlimited = (flag: string, text: string): number => (text.trim() === '-1' ? -1 : toBytes(flag, text));

export function toInteger(flag: string, text: string, range: { readonly min?: number; readonly max?: number } = {}): number {
  const value = Number(text);
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = range;
  if (!/^-?\d+$/.test(text.trim()) || value < min || value > max) {
    const bounds = range.min === undefined && range.max === undefined ? '' : range.max === undefined ? ` of at least ${min}` : ` between ${min} and ${max}`;
    throw new UsageError(`${flag} ${text}: expected a whole number${bounds}`);
  }
  return value;
}

/** `1.5` → 1_500_000_000 billionths of a CPU. */
export function toNanoCpus(text: string): number {
  if (!/^\d+(\.\d{1,9})?$/.test(text.trim())) throw new UsageError(`--cpus ${text}: expected a number such as 1.5`);
  return Math.round(Number(text) * 1e9);
}

export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** `nofile=1024:2048`, `nproc=512`; -1 is without a limit. */
export function toUlimit(text: string): Ulimit {
  const [, name, soft, hard] = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text) ?? [];
  if (name === undefined || soft === undefined) throw new UsageError(`--ulimit ${text}: expected name=soft[:hard], e.g. nofile=1024:2048`);
  const limit = { Name: name, Soft: Number(soft), Hard: Number(hard ?? soft) };
  if (limit.Hard !== -1 && (limit.Soft === -1 || limit.Soft > limit.Hard)) throw new UsageError(`--ulimit ${text}: the soft limit is above the hard one`);
  return limit;
}

export interface DeviceMapping {
  readonly PathOnHost: string;
  readonly PathInContainer: string;
  readonly CgroupPermissions: string;
}

/** `/dev/fuse`, `/dev/sda:/dev/xvda`, `/dev/sda:/dev/xvda:r`, `/dev/sda:r`. */
export function toDevice(text: string): DeviceMapping {
  const parts = text.split(':');
  const isMode = (part: string | undefined): part is string => part !== undefined && /^[rwm]{1,3}$/.test(part);
  const [host, second, third] = parts;
  const wrong = () => new UsageError(`--device ${text}: expected path[:path-in-container[:rwm]]`);
  if (host === undefined || !host.startsWith('/') || parts.length > 3) throw wrong();
  if (third !== undefined && !isMode(third)) throw wrong();
  const inContainer = second === undefined || isMode(second) || second === '' ? host : second;
  if (!inContainer.startsWith('/')) throw wrong();
  return { PathOnHost: host, PathInContainer: inContainer, CgroupPermissions: third ?? (isMode(second) ? second : 'rwm') };
}

/** `10s`, `1m30s`: milliseconds. */
export function toDuration(flag: string, text: string): number {
  const ms = durationMs(text);
  if (ms === null) throw new UsageError(`${flag} ${text}: it must be a duration such as 10s or 1m30s`);
  return Math.round(ms);
}

export interface RestartPolicy {
  readonly Name: string;
  readonly MaximumRetryCount: number;
}

/** `no`, `always`, `unless-stopped`, `on-failure[:max]`. */
export function toRestartPolicy(text: string): RestartPolicy {
  const [, name, , count] = /^(no|always|unless-stopped|on-failure)(:(\d+))?$/.exec(text) ?? [];
  if (name === undefined) throw new UsageError(`--restart ${text}: expected no, always, unless-stopped or on-failure[:max-retries]`);
  if (count !== undefined && name !== 'on-failure') throw new UsageError(`--restart ${text}: only on-failure takes a number of retries`);
  return { Name: name, MaximumRetryCount: Number(count ?? 0) };
}

/** `key=value` into a record; a key alone is an empty value. */
export function toRecord(flag: string, texts: readonly string[], needsValue = false): Record<string, string> {
  const record: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf('=');
    const key = at === -1 ? text : text.slice(0, at);
    if (key === '' || (needsValue && at === -1)) throw new UsageError(`${flag} ${text}: expected key=value`);
    record[key] = at === -1 ? '' : text.slice(at + 1);
  }
  return record;
}

/** `name:address`, also `name=address`; an IPv6 address may stand in brackets. */
export function toExtraHost(text: string): string {
  const at = text.search(/[:=]/);
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  if (at < 1 || address === '') throw new UsageError(`--add-host ${text}: expected name:address`);
  return `${text.slice(0, at)}:${address}`;
}

/** Fields of a line of comma-separated values; double quotes keep commas, doubled ones are a quote (RFC 4180). */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  for (const match of text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
  return fields;
}

/** Words of a line as a shell reads them, nothing expanded: quotes keep spaces, a backslash keeps what follows (between double quotes `"` and itself only). */
export function shellWords(flag: string, text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (const [piece, single, double, escaped, lone] of text.matchAll(/\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|(['"\\])|[^\s'"\\]+/gs)) {
    if (lone !== undefined) throw new UsageError(`${flag} ${text}: ${lone} has no end`);
    if (/^\s/.test(piece)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + (single ?? double?.replaceAll(/\\(["\\])/g, '$1') ?? escaped ?? piece);
  }
  return word === null ? words : [...words, word];
}
