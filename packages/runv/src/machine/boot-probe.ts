// Boots a kernel under a profile until pouch-init answers, and says what it found. The machine has no disks and no network, and is ended in any case.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { qemuCommand } from './qemu-command.ts';
import type { Acceleration, Kernel, Profile, ProfileVerdict } from './types.ts';

/** protocol.h */
const opHello = 1;
const magic = 0x48435550;
const version = 1;
const headerBytes = 12;
const helloBytes = 28;
const features: readonly (readonly [bit: number, name: string])[] = [[1, 'overlay'], [2, 'erofs'], [4, 'virtiofs'], [8, 'seccomp'], [16, 'multiport']];

const helloEveryMs = 250;
const maxReceivedBytes = 256 << 10;
const maxReasonLength = 300;

export interface Probe {
  readonly qemu: string;
  readonly kernel: Kernel;
  readonly profile: Profile;
  readonly acceleration: Acceleration;
  readonly tscKHz: number;
  /** From QEMU's start to the answer. */
  readonly timeoutMs: number;
  readonly memoryBytes?: number;
  /** Whom QEMU runs as; absent: this process's user. */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly append?: readonly string[];
}

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
async function awaitHello(path: string, alive: () => boolean): Promise<number | undefined> {
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

/** The last words of the console, else of QEMU: why a boot failed. */
async function reasonOf(consolePath: string, words: string, timedOut: boolean): Promise<string> {
  const lines = `${words}\n${await readFile(consolePath, 'latin1').catch(() => '')}`.replaceAll(/\x1b[^a-zA-Z]*[a-zA-Z]/g, '').split(/[\r\n]+/).map((line) => line.replaceAll(/[^\x20-\x7e]/g, '').trim()).filter((line) => line !== '');
  const panic = lines.find((line) => /panic|not syncing|kernel too old/i.test(line)) ?? lines.at(-1);
  return `${timedOut ? 'no answer in time' : 'it ended'}${panic === undefined ? ', without a word' : `: ${panic}`}`.slice(0, maxReasonLength);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGKILL');
  await new Promise((settle) => child.once('exit', settle));
}

/** Boots it once. Never throws for a kernel that does not come up: that is the verdict. */
export async function probeBoot(probe: Probe, singlePort = false): Promise<ProfileVerdict> {
  const directory = await mkdtemp(join(tmpdir(), 'runv-probe-'));
  const path = (name: string): string => join(directory, name);
  let words = '';
  let child: ChildProcess | undefined;
  try {
    if (probe.user !== undefined) await chown(directory, probe.user.uid, probe.user.gid);
    const [program, ...args] = qemuCommand({
      qemu: probe.qemu, profile: probe.profile, acceleration: probe.acceleration, kernel: probe.kernel, tscKHz: probe.tscKHz, singlePort, append: probe.append ?? [],
      memoryBytes: probe.memoryBytes ?? 256 * 2 ** 20, vcpus: 1, disks: [], shares: [],
      controlPath: path('control.sock'), qmpPath: path('qmp.sock'), consolePath: path('console.log'), name: 'probe',
    });
    const began = performance.now();
    const qemu = child = spawn(program as string, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, ...(probe.user ?? {}) });
    let over = false;
    qemu.once('exit', () => { over = true; });
    qemu.once('error', (error) => { over = true; words = error.message; });
    qemu.stderr?.on('data', (piece: Buffer) => { words = (words + piece.toString('latin1')).slice(-2000); });
    const alive = (): boolean => !over && performance.now() - began < probe.timeoutMs;
    const found = await awaitHello(path('control.sock'), alive);
    if (found !== undefined) return { ok: true, bootMs: Math.round(performance.now() - began), lacks: lackingOf(found) };
    return { ok: false, bootMs: null, lacks: [await reasonOf(path('console.log'), words, !over)] };
  } finally {
    if (child !== undefined) await ended(child);
    await rm(directory, { recursive: true, force: true });
  }
}

/** As `probeBoot`; a classic machine that gives no answer is tried again with a single port, for kernels without multiport. */
export async function probeProfile(probe: Probe): Promise<ProfileVerdict> {
  const verdict = await probeBoot(probe);
  return verdict.ok || probe.profile !== 'classic' ? verdict : await probeBoot(probe, true);
}
