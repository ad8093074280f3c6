// runv's own settings: ROOT/runv.json, else beside ROOT (containerd puts its namespace behind the root it is told), else /etc/runv/runv.json, else what stands here. The only place where the environment is read.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, hasCode, messageOf } from './failure.ts';

export interface RunvConfig {
  /** Absolute. */
  readonly qemu: string;
  readonly kernelDir: string;
  readonly layerDir: string;
  readonly templateDir: string;
  readonly defaultKernel: string;
  /** QEMU's user and group. */
  readonly uid: number;
  readonly gid: number;
  /** Of a guest whose container has no limit. */
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly profile: 'auto' | 'modern' | 'classic' | 'bare';
  readonly acceleration: 'auto' | 'kvm' | 'tcg';
  readonly templates: boolean;
  /** Most paused machines that are kept ready for one image and size of machine; 0: none at all. */
  readonly pool: number;
  /** How long one waits for its container, and how long a use of an image counts. */
  readonly poolIdleMs: number;
  /** What the guests of all that wait could take together. */
  readonly poolMemoryBytes: number;
  readonly bootTimeoutMs: number;
  /** From an orderly power-off to the end of QEMU, before that is killed. */
  readonly powerOffTimeoutMs: number;
  /** Consoles of machines that did not come up are kept there, as ID.log; empty: nowhere. */
  readonly consoleDir: string;
}

const defaults: RunvConfig = {
  qemu: '/usr/bin/qemu-system-x86_64', kernelDir: '/var/lib/runv/kernels', layerDir: '/var/lib/runv/layers', templateDir: '/var/lib/runv/templates',
  defaultKernel: 'debian-6.1-cloud', uid: 64055, gid: 64055, memoryBytes: 256 << 20, vcpus: 1, profile: 'auto', acceleration: 'auto', templates: true,
  pool: 2, poolIdleMs: 600_000, poolMemoryBytes: 1 << 30, bootTimeoutMs: 60_000, powerOffTimeoutMs: 3_000, consoleDir: '',
};

const choices: Readonly<Record<string, readonly string[]>> = { profile: ['auto', 'modern', 'classic', 'bare'], acceleration: ['auto', 'kvm', 'tcg'] };

/** The file's settings over the defaults. Throws `usage` with the name of what is wrong. */
export function parseConfig(text: string, file: string, standard: RunvConfig = defaults): RunvConfig {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    throw new Failure('usage', `${file} is no JSON: ${messageOf(cause)}`, { cause });
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new Failure('usage', `${file} is no object`);
  for (const [name, value] of Object.entries(given)) {
    if (!(name in defaults)) throw new Failure('usage', `${file}: there is no setting ${JSON.stringify(name)}; there are ${Object.keys(defaults).join(', ')}`);
    const wanted = typeof defaults[name as keyof RunvConfig];
    const wrong = typeof value !== wanted || (typeof value === 'number' && (!Number.isSafeInteger(value) || value < 0)) || (choices[name] !== undefined && !choices[name].includes(String(value)));
    if (wrong) throw new Failure('usage', `${file}: ${name} cannot be ${JSON.stringify(value)}`);
  }
  return Object.freeze({ ...standard, ...given });
}

export async function readConfig(root: string): Promise<RunvConfig> {
  // QEMU's user may open /dev/kvm by its group; where there is none, or it is root's, it is nobody's group.
  const kvm = await stat('/dev/kvm').catch(() => undefined); // no KVM: no group is needed
  const standard: RunvConfig = kvm === undefined || kvm.gid === 0 ? defaults : { ...defaults, gid: kvm.gid };
  for (const file of [join(root, 'runv.json'), join(root, '..', 'runv.json'), '/etc/runv/runv.json']) {
    try {
      // The directory above may be anybody's: what stands there must not choose what root executes.
      if (![0, process.getuid?.()].includes((await stat(file)).uid)) continue;
      return parseConfig(await readFile(file, 'utf8'), file, standard);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
  return Object.freeze({ ...standard });
}
