// What a path in a container is, in Docker's words: the header X-Docker-Container-Path-Stat. Pure.
import type { PathStat } from '@pouch/contracts';

export const pathStatHeader = 'x-docker-container-path-stat';

/** Go's os.FileMode: permissions as they are, the rest in bits of its own (https://pkg.go.dev/io/fs#FileMode). */
const typeBits: Readonly<Record<number, number>> = {
  0o040000: 2 ** 31, 0o120000: 2 ** 27, 0o060000: 2 ** 26, 0o020000: 2 ** 26 + 2 ** 21, 0o010000: 2 ** 25, 0o140000: 2 ** 24,
};
const flagBits = [[0o4000, 2 ** 23], [0o2000, 2 ** 22], [0o1000, 2 ** 20]] as const;

/** `mode` as stat(2) has it. */
export function goFileMode(mode: number): number {
  const flags = flagBits.reduce((sum, [bit, goBit]) => sum + ((mode & bit) === 0 ? 0 : goBit), 0);
  return (mode & 0o777) + flags + (typeBits[mode & 0o170000] ?? 0);
}

/** RFC 3339 with as many digits of a second as there are. */
function goTime(seconds: number, nanoseconds: number): string {
  const whole = new Date(seconds * 1_000).toISOString().slice(0, 19);
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** The header's value: JSON in base64. */
export function encodePathStat({ name, sizeBytes, mode, mtimeSeconds, mtimeNanoseconds, linkTarget }: PathStat): string {
  // Beyond what a Date can say there is no time that a client could read.
  const seconds = Math.abs(mtimeSeconds) <= 253_402_300_799 ? mtimeSeconds : 0;
  return Buffer.from(JSON.stringify({ name, size: sizeBytes, mode: goFileMode(mode), mtime: goTime(seconds, mtimeNanoseconds), linkTarget })).toString('base64');
}
