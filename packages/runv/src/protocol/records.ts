// Records within a payload: | tag u16 | 0 u16 | length u32 | bytes |, and the parts that they are made of. Pure. What comes in is never trusted.
import { ProtocolError } from './frames.ts';

export interface DecodedRecord { readonly tag: number; readonly bytes: Buffer }

/** Most records of one payload. */
export const maxRecords = 65_536;

export function record(tag: number, ...parts: readonly (Uint8Array | string)[]): Buffer {
  const bytes = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  const head = Buffer.alloc(8);
  head.writeUInt16LE(tag, 0);
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32LE(value >>> 0, 4 * index));
  return bytes;
}

export function u64(...values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * index));
  return bytes;
}

/** A string with its length before it. */
export function counted(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u32(bytes.length), bytes]);
}

/** The records of a payload. Throws ProtocolError where one is cut or too long. */
export function decodeRecords(payload: Buffer): DecodedRecord[] {
  const found: DecodedRecord[] = [];
  let at = 0;
  while (at < payload.length) {
    if (found.length === maxRecords) throw new ProtocolError(`more than ${maxRecords} records`);
    if (payload.length - at < 8) throw new ProtocolError('a record whose head is cut');
    const length = payload.readUInt32LE(at + 4);
    if (payload.readUInt16LE(at + 2) !== 0) throw new ProtocolError('a record whose zeros are none');
    if (length > payload.length - at - 8) throw new ProtocolError('a record that is longer than its payload');
    found.push({ tag: payload.readUInt16LE(at), bytes: payload.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  return found;
}
