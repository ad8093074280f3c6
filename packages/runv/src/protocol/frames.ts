// Frames of the control channel, written and read: | length u32 | op u8 | 0 u8 | 0 u16 | id u32 | payload |. Pure. What comes in is never trusted.
import { headerBytes, maxPayload } from './ops.ts';

export interface Frame { readonly op: number; readonly id: number; readonly payload: Buffer }

export class ProtocolError extends Error {
  readonly code = 'protocol';
  readonly retryable = false;
}

/** One frame. Throws a RangeError where the payload is longer than the other end takes. */
export function encodeFrame(op: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  if (payload.length > maxPayload) throw new RangeError(`a frame's payload of ${payload.length} bytes is more than ${maxPayload}`);
  const frame = Buffer.alloc(headerBytes + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt8(op, 4);
  frame.writeUInt32LE(id, 8);
  payload.copy(frame, headerBytes);
  return frame;
}

/** Cuts a stream into frames. It holds at most one frame that is not whole yet. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are whole with this piece. Throws ProtocolError at the first thing that cannot be; the connection is then of no use. */
  push(piece: Uint8Array): Frame[] {
    let rest = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    const frames: Frame[] = [];
    while (rest.length >= headerBytes) {
      const length = rest.readUInt32LE(0);
      if (length > maxPayload) throw new ProtocolError(`a frame of ${length} bytes`);
      if (rest.readUInt8(5) !== 0 || rest.readUInt16LE(6) !== 0) throw new ProtocolError('a frame whose zeros are none');
      if (rest.length < headerBytes + length) break;
      frames.push({ op: rest.readUInt8(4), id: rest.readUInt32LE(8), payload: Buffer.from(rest.subarray(headerBytes, headerBytes + length)) });
      rest = rest.subarray(headerBytes + length);
    }
    this.#rest = Buffer.from(rest);
    return frames;
  }
}
