// The frames of a pipe: one core NATS message each.
//
//     0        1               5
//     +--------+---------------+----------------------+
//     | type   | number, be32  | body                 |
//     +--------+---------------+----------------------+
//
// `number` counts the frames of one direction from 0: a gap tells that a connection lost some, and the pipe breaks rather than continue with a hole.
// Bodies: DATA bytes; CREDIT be32 bytes granted; ACCEPT the peer's subject; TRAILER and REFUSE and ABORT JSON; END and PING none.

export const FrameType = { data: 0, credit: 1, end: 2, trailer: 3, accept: 4, refuse: 5, abort: 6, ping: 7 } as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const headerBytes = 5;
/** Largest body of a DATA frame, far below NATS's default limit of 1 MiB a message. */
export const maxDataBytes = 64 * 1024;

export interface Frame {
  readonly type: number;
  readonly number: number;
  readonly body: Buffer;
}

export function encodeFrame(type: FrameType, number: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + body.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(number >>> 0, 1);
  frame.set(body, headerBytes);
  return frame;
}

/** Null for what is too short to be a frame. */
export function decodeFrame(payload: Uint8Array): Frame | null {
  if (payload.length < headerBytes) return null;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return { type: bytes.readUInt8(0), number: bytes.readUInt32BE(1), body: bytes.subarray(headerBytes) };
}

export const encodeJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Null for what is no JSON. */
export function decodeJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null; // the caller treats a body that says nothing as one that says nothing
  }
}
