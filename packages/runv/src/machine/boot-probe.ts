// Boots a kernel under a profile until pouch-init answers, and says what it found. The machine has no disks and no network, and is ended in any case.
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { awaitHello, lackingOf } from './hello.ts';
import { launchQemu, type OwnQemu, type User } from './launch.ts';
import { consoleLines, tellingLine } from './console.ts';
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
  readonly user?: User;
  readonly append?: readonly string[];
}

/** The last words of the console, else of QEMU: why a boot failed. */
async function reasonOf(consolePath: string, words: string, timedOut: boolean): Promise<string> {
  const panic = tellingLine(consoleLines(`${words}\n${await readFile(consolePath, 'latin1').catch(() => '')}`));
  return `${timedOut ? 'no answer in time' : 'it ended'}${panic === undefined ? ', without a word' : `: ${panic}`}`.slice(0, maxReasonLength);
}

/** Boots it once. Never throws for a kernel that does not come up: that is the verdict. */
export async function probeBoot(probe: Probe, singlePort = false): Promise<ProfileVerdict> {
  const directory = await mkdtemp(join(tmpdir(), 'runv-probe-'));
  const path = (name: string): string => join(directory, name);
  let qemu: OwnQemu | undefined;
  try {
    if (probe.user !== undefined) await chown(directory, probe.user.uid, probe.user.gid);
    const command = qemuCommand({
      qemu: probe.qemu, profile: probe.profile, acceleration: probe.acceleration, kernel: probe.kernel, tscKHz: probe.tscKHz, singlePort, append: probe.append ?? [],
      memoryBytes: probe.memoryBytes ?? 256 * 2 ** 20, vcpus: 1, disks: [], shares: [],
      controlPath: path('control.sock'), qmpPath: path('qmp.sock'), consolePath: path('console.log'), name: 'probe',
    });
    const began = performance.now();
    const own = qemu = await launchQemu(command, probe.user);
    const alive = (): boolean => own.runs() && performance.now() - began < probe.timeoutMs;
    const found = await awaitHello(path('control.sock'), alive);
    if (found !== undefined) return { ok: true, bootMs: Math.round(performance.now() - began), lacks: lackingOf(found) };
    return { ok: false, bootMs: null, lacks: [await reasonOf(path('console.log'), own.words(), own.runs())] };
  } finally {
    await qemu?.end();
    await rm(directory, { recursive: true, force: true });
  }
}

/** As `probeBoot`; a classic machine that gives no answer is tried again with a single port, for kernels without multiport. */
export async function probeProfile(probe: Probe): Promise<ProfileVerdict> {
  const verdict = await probeBoot(probe);
  return verdict.ok || probe.profile !== 'classic' ? verdict : await probeBoot(probe, true);
}
