// The first words with a guest's init over its control channel: is it there, and what can its kernel do? It must not believe more than its nonce.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** protocol.h */
const opHello = 1;
const magic = 0x48435550;
const version = 2;
const headerBytes = 12;
const helloBytes = 28;
const features: readonly (readonly [bit: number, name: string])[] = [[1, 'overlay'], [2, 'erofs'], [4, 'virtiofs'], [8, 'seccomp'], [16, 'multiport']];

const helloEveryMs = 250;
const maxReceivedBytes = 256 << 10;

/** 64 zero bytes and a HELLO: what the guest finds the beginning of the stream by. */
export function helloFrame(nonce: Buffer): Buffer {
  const frame = Buffer.alloc(64 + headerBytes + 24);
  frame.writeUInt32LE(24, 64);
  frame.writeUInt8(opHello, 68);
  frame.writeUInt32LE(magic, 64 + headerBytes);
  frame.writeUInt32LE(version, 64 + headerBytes + 4);
  nonce.copy(frame, 64 + headerBytes + 8);
  return frame;
}

/** The features in the guest's HELLO with this nonce; undefined while it is not in `received`. Whatever stands before it is passed over. */
export function findHello(received: Buffer, nonce: Buffer): number | undefined {
  const start = Buffer.alloc(headerBytes + 8);
  start.writeUInt32LE(helloBytes, 0);
  start.writeUInt8(opHello, 4);
  start.writeUInt32LE(magic, headerBytes);
  start.writeUInt32LE(version, headerBytes + 4);
  const at = received.indexOf(Buffer.concat([start, nonce]));
  return at < 0 || at + headerBytes + helloBytes > received.length ? undefined : received.readUInt32LE(at + headerBytes + 24);
}

/** Names of what the guest's features lack. */
export const lackingOf = (bits: number): string[] => features.filter(([bit]) => (bits & bit) === 0).map(([, name]) => name);

async function connected(path: string, alive: () => boolean): Promise<Socket | undefined> {
  while (alive()) {
    const socket = connect(path);
    const opened = await new Promise<boolean>((settle) => {
      socket.once('connect', () => settle(true));
      socket.once('error', () => settle(false)); // QEMU has not made it yet
    });
    if (opened) return socket;
    await delay(10);
  }
  return undefined;
}

/** Until the guest's HELLO; undefined when the machine ends before. */
export async function awaitHello(path: string, alive: () => boolean): Promise<number | undefined> {
  const nonce = randomBytes(16);
  const socket = await connected(path, alive);
  if (socket === undefined) return undefined;
  let received = Buffer.alloc(0);
  socket.on('data', (piece) => { received = Buffer.concat([received, piece as Buffer]).subarray(-maxReceivedBytes); });
  socket.on('error', () => { /* QEMU has ended: `alive` tells */ });
  try {
    // A serial port loses what comes before the guest listens: HELLO is said again until it is answered.
    for (let next = 0; alive(); await delay(5)) {
      if (performance.now() >= next) {
        socket.write(helloFrame(nonce));
        next = performance.now() + helloEveryMs;
      }
      const found = findHello(received, nonce);
      if (found !== undefined) return found;
    }
    return undefined;
  } finally {
    socket.destroy();
  }
}
