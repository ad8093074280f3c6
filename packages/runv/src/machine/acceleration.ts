// Whether KVM truly works here: found out by booting a guest, once per host, QEMU, kernel and host kernel, and kept in a file.
// A /dev/kvm that opens proves nothing: some hosts' never get a guest past its first instructions.
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { probeBoot } from './boot-probe.ts';
import { makeOnce } from './once.ts';
import type { Acceleration, Kernel } from './types.ts';

export interface AccelerationVerdict {
  readonly acceleration: Acceleration;
  /** Why not KVM, as a sentence; absent with KVM. */
  readonly reason?: string;
  readonly bootMs?: number;
}

export interface AccelerationProbe {
  /** Absolute. */
  readonly qemu: string;
  readonly kernel: Kernel;
  /** Where verdicts are kept. */
  readonly directory: string;
  readonly tscKHz: number;
  readonly timeoutMs?: number;
  readonly user?: { readonly uid: number; readonly gid: number };
}

const device = '/dev/kvm';

/** The kept verdict, or a new one: booting takes up to `timeoutMs` (10 s) the first time. */
export async function probeAcceleration({ qemu, kernel, directory, tscKHz, timeoutMs = 10_000, user }: AccelerationProbe): Promise<AccelerationVerdict> {
  const usable = await access(device, constants.R_OK | constants.W_OK).then(() => true, () => false);
  if (!usable) return { acceleration: 'tcg', reason: `${device} cannot be opened` };
  // QEMU's file stands for its version: asking it would cost every start a process.
  const { size, mtimeMs } = await stat(qemu);
  const key = createHash('sha256').update([qemu, size, mtimeMs, kernel.digest, release()].join('\0')).digest('hex').slice(0, 16);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const path = await makeOnce(join(directory, `acceleration-${key}.json`), async (temporary) => {
    const profile = kernel.format === 'vmlinux' ? 'modern' : 'classic';
    const { ok, bootMs, lacks } = await probeBoot({ qemu, kernel, profile, acceleration: 'kvm', tscKHz, timeoutMs, ...(user === undefined ? {} : { user }) });
    const verdict: AccelerationVerdict = ok ? { acceleration: 'kvm', ...(bootMs === null ? {} : { bootMs }) } : { acceleration: 'tcg', reason: `${device} is there, but no guest comes up with it (${lacks.join(', ')})` };
    await writeFile(temporary, `${JSON.stringify(verdict)}\n`);
  });
  return JSON.parse(await readFile(path, 'utf8')) as AccelerationVerdict;
}
