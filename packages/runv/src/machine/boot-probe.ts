// Boots a kernel under a profile until pouch-init answers, and says what it found. The machine has no disks and no network, and is ended in any case.
import { spawn, type ChildProcess } from 'node:child_process';
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { awaitHello, lackingOf } from './hello.ts';
import { qemuCommand } from './qemu-command.ts';
import type { Acceleration, Kernel, Profile, ProfileVerdict } from './types.ts';

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
