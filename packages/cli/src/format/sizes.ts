// Numbers for people: sizes and durations. Pure.

const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

function scaled(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${Number(value.toPrecision(digits))}${units[unit]}`;
}

/** Sizes of images and transfers, decimal: `4.31MB`. */
export const humanSize = (bytes: number): string => scaled(bytes, 1000, decimalUnits, 3);

/** Memory, binary: `15.6GiB`. */
export const humanMemory = (bytes: number): string => scaled(bytes, 1024, binaryUnits, 4);

const steps: readonly (readonly [seconds: number, until: number, name: string])[] = [
  [1, 60, 'second'],
  [60, 60 * 60, 'minute'],
  [3600, 48 * 3600, 'hour'],
  [24 * 3600, 14 * 24 * 3600, 'day'],
  [7 * 24 * 3600, 60 * 24 * 3600, 'week'],
  [30 * 24 * 3600, 730 * 24 * 3600, 'month'],
  [365 * 24 * 3600, Number.POSITIVE_INFINITY, 'year'],
];

/** `3 seconds`, `About a minute`, `5 hours`: the words that docker uses. */
export function humanDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 1) return 'Less than a second';
  const [size, , name] = steps.find(([, until]) => seconds < until) as (typeof steps)[number];
  const count = Math.floor(seconds / size);
  if (count !== 1) return `${count} ${name}s`;
  return name === 'second' ? '1 second' : `About ${name === 'hour' ? 'an' : 'a'} ${name}`;
}

export const humanAgo = (ms: number): string => `${humanDuration(ms)} ago`;
