// Decodes the container log's records; the format is drawn in c/log-format.h. It must not read files.

const magic = 0x31524c50;
const headerBytes = 36;
const overheadBytes = 44;
const payloadMax = 32_768;

/** The longest record there is, in bytes. */
export const recordMaxBytes: number = overheadBytes + payloadMax;

type RecordFrame = {
  /** Number of the start in this log, from 1. */
  readonly run: number;
  /** UTC, nanoseconds since 1970, when the writer read the chunk. */
  readonly timeNs: bigint;
  /** Bytes written to this log before this record, rotated files included: where it stands, whatever was rotated since. */
  readonly position: number;
  /** The position of the record that follows. */
  readonly nextPosition: number;
};

/** A chunk of output, not a line: at most 32 KiB, cut wherever the read ended. */
export type OutputRecord = RecordFrame & { readonly kind: 'stdout' | 'stderr'; readonly tty: boolean; readonly data: Buffer };
/** A start begins, or all of its output is in the log (exactly one per start, after the last byte). */
export type RunRecord = RecordFrame & { readonly kind: 'start' | 'end'; readonly tty: boolean; readonly startId: string };
/** Output that could not be written (the disk was full). */
export type LostRecord = RecordFrame & { readonly kind: 'lost'; readonly lostBytes: number };
export type LogRecord = OutputRecord | RunRecord | LostRecord;

export type Decoded = {
  readonly records: LogRecord[];
  /** What follows the last whole record: a record not yet complete, or nothing. */
  readonly rest: Buffer;
  /** `buffer.length - rest.length`. */
  readonly consumedBytes: number;
  /** Bytes among the consumed that were no records (damage by a power cut). */
  readonly skippedBytes: number;
};

function check(buffer: Buffer, at: number): number {
  let hash = 2_166_136_261;
  for (let index = at; index < at + 32; index++) hash = Math.imul(hash ^ (buffer[index] ?? 0), 16_777_619);
  return hash >>> 0;
}

function isHeader(buffer: Buffer, at: number): boolean {
  return buffer.readUInt32LE(at) === magic && buffer.readUInt32LE(at + 8) <= payloadMax && buffer.readUInt32LE(at + 32) === check(buffer, at);
}

/** The next place from `at` on where a record begins, or where one could begin once more bytes are there. */
function resync(buffer: Buffer, at: number): number {
  const pattern = Buffer.from([0x50, 0x4c, 0x52, 0x31]);
  for (let found = buffer.indexOf(pattern, at); found !== -1; found = buffer.indexOf(pattern, found + 1)) {
    if (found + headerBytes > buffer.length || isHeader(buffer, found)) return found;
  }
  return Math.max(at, buffer.length - 3);
}

function decodeRecord(buffer: Buffer, at: number, length: number): LogRecord | undefined {
  const position = Number(buffer.readBigUInt64LE(at + 24));
  const frame = { run: buffer.readUInt32LE(at + 12), timeNs: buffer.readBigUInt64LE(at + 16), position, nextPosition: position + overheadBytes + length };
  const data = buffer.subarray(at + headerBytes, at + headerBytes + length);
  const tty = (buffer.readUInt16LE(at + 6) & 1) === 1;
  switch (buffer[at + 5]) {
    case 1: return { kind: 'stdout', ...frame, tty, data };
    case 2: return { kind: 'stderr', ...frame, tty, data };
    case 3: return { kind: 'start', ...frame, tty, startId: data.toString('utf8') };
    case 4: return { kind: 'end', ...frame, tty, startId: data.toString('utf8') };
    case 5: return { kind: 'lost', ...frame, lostBytes: length >= 8 ? Number(data.readBigUInt64LE(0)) : 0 };
    default: return undefined; // a kind of a newer writer: passed over
  }
}

/**
 * All whole records at the start of `buffer`, which begins at a record. `data` is a view of `buffer`, not a copy. Do not keep `rest`
 * to append to it: a writer may cut a torn record off and write another in its place, so read again from the last whole record's end.
 */
export function decodeRecords(buffer: Buffer): Decoded {
  const records: LogRecord[] = [];
  let at = 0;
  let skippedBytes = 0;
  while (buffer.length - at >= headerBytes) {
    if (!isHeader(buffer, at)) {
      const next = resync(buffer, at + 1);
      skippedBytes += next - at;
      at = next;
      continue;
    }
    const length = buffer.readUInt32LE(at + 8);
    if (buffer.length - at < overheadBytes + length) break;
    const record = decodeRecord(buffer, at, length);
    if (record !== undefined) records.push(record);
    at += overheadBytes + length;
  }
  return { records, rest: buffer.subarray(at), consumedBytes: at, skippedBytes };
}
