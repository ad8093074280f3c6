// What a guest does ahead of time: makes its root, applies the settings that are sure to come once for nothing, and starts a process.
// Under emulation nearly all of a start's time is code that runs for the first time. Nothing of one container may be in it.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../failure.ts';
import { findHello, helloFrame } from '../machine/hello.ts';
import { encodeFrame, FrameReader, type Frame } from '../protocol/frames.ts';
import { op } from '../protocol/ops.ts';
import { u32 } from '../protocol/records.ts';

const processMs = 5_000;
const SIGKILL = 9;

export interface Rehearsal {
  /** The payload of PREPARE. */
  readonly prepare: Buffer;
  /** The payload of SPAWN; whether its program is there does not matter. */
  readonly spawn: Buffer;
}

/** Greets the guest, lets it prepare and rehearse, and leaves it in silence. Throws `machine`. */
export async function rehearse(controlPath: string, { prepare, spawn }: Rehearsal, timeoutMs: number): Promise<void> {
  const nonce = randomBytes(16);
  const deadline = performance.now() + timeoutMs;
  const socket = connect(controlPath);
  const frames: Frame[] = [];
  const reader = new FrameReader();
  let greeted = false;
  let fault: Error | undefined;
  let received = Buffer.alloc(0);
  socket.on('error', (error) => { fault = error; });
  socket.on('close', () => { fault ??= new Error('QEMU closed the control channel'); });
  socket.on('data', (piece: Buffer) => {
    try {
      if (greeted) return void frames.push(...reader.push(piece));
      received = Buffer.concat([received, piece]);
      if (findHello(received, nonce) === undefined) return;
      greeted = true;
      frames.push(...reader.push(received.subarray(received.indexOf(nonce) + nonce.length + 4)));
    } catch (error) {
      fault = error as Error;
    }
  });
  const until = async (what: string, isThere: () => boolean, limitMs = deadline - performance.now()): Promise<boolean> => {
    for (const end = performance.now() + limitMs; !isThere(); await delay(5)) {
      if (fault !== undefined) throw new Failure('machine', `a machine for the pool: ${what}: ${fault.message}`, { cause: fault });
      if (performance.now() > end) return false;
    }
    return true;
  };
  const has = (code: number, about?: number): boolean => frames.some((frame) => frame.op === code && (about === undefined || (frame.payload.length >= 8 && frame.payload.readUInt32LE(4) === about)));
  const must = async (what: string, code: number, about?: number): Promise<void> => {
    if (!(await until(what, () => has(code) || (about !== undefined && has(op.error, about))))) throw new Failure('machine', `a machine for the pool: no ${what} in time`);
    const refusal = about === undefined || has(code) ? undefined : frames.find((frame) => frame.op === op.error);
    if (refusal !== undefined) throw new Failure('machine', `a machine for the pool: ${refusal.payload.subarray(8).toString('utf8')}`);
  };
  try {
    socket.write(helloFrame(nonce));
    if (!(await until('HELLO', () => greeted))) throw new Failure('machine', 'a machine for the pool: the guest does not answer');
    socket.write(encodeFrame(op.prepare, 0, prepare));
    await must('PREPARED', op.prepared, op.prepare);
    socket.write(encodeFrame(op.spawn, 1, spawn));
    const over = (): boolean => has(op.error, op.spawn) || (has(op.exited) && frames.filter((frame) => frame.op === op.eof).length === 2);
    if (!(await until('a process', over, processMs))) {
      socket.write(encodeFrame(op.signal, 1, u32(SIGKILL, 0)));
      if (!(await until('its end', over, processMs))) throw new Failure('machine', 'a machine for the pool: its first process does not end');
    }
    socket.write(encodeFrame(op.ping, 0, u32(1)));
    await must('PONG', op.pong);
  } finally {
    socket.destroy();
  }
}
