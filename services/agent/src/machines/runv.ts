// The runtime runv as a program: what the agent asks of it by executing it. Knows its verbs, nothing of containers or of the cluster.
import { execFile } from 'node:child_process';
import type { KernelProbe } from '@pouch/domain';
import { messageOf, OperatingError } from '@pouch/process';

/** A kernel in its store, as `kernel ls --format json` tells it. */
export interface StoredKernel {
  readonly name: string;
  /** Of the file that was added; the store may keep it in another form. */
  readonly sourceDigest: string;
  readonly release: string | null;
  readonly profiles: readonly KernelProbe[];
}

/** A process in a machine, as the guest tells it. */
export interface GuestProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly uid: number;
  /** ms since 1970; null where the guest's clock does not say. */
  readonly startedAtMs: number | null;
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly command: string;
}

export interface RunvOptions {
  readonly path: string;
  /** Its `--root`, which holds its configuration, too. */
  readonly root: string;
  /** PATH. */
  readonly searchPath: string;
}

const maxOutputBytes = 16 * 2 ** 20;
const quickMs = 30_000;
/** Reading, packing and writing a kernel. */
const addMs = 120_000;
/** Each profile's boot has a limit of its own. */
const probeMs = 600_000;

export class Runv {
  readonly #options: RunvOptions;

  constructor(options: RunvOptions) {
    this.#options = options;
  }

  async kernels(): Promise<readonly StoredKernel[]> {
    const told = await this.#json(['kernel', 'ls', '--format', 'json'], quickMs);
    if (!Array.isArray(told)) throw new OperatingError('runv', 'runv kernel ls answered with no list');
    return told.map(storedKernel);
  }

  async addKernel(name: string, image: string, modules: string | null): Promise<void> {
    await this.#run(['kernel', 'add', name, '--image', image, ...(modules === null ? [] : ['--modules', modules])], addMs);
  }

  async removeKernel(name: string): Promise<void> {
    await this.#run(['kernel', 'rm', name], quickMs);
  }

  /** Boots it under each profile; a profile that does not work is an answer, not an error. */
  async probeKernel(name: string): Promise<readonly KernelProbe[]> {
    return storedKernel(await this.#json(['kernel', 'probe', name, '--format', 'json'], probeMs)).profiles;
  }

  /** Whether machines run on KVM, found out by booting one; `reason`: why not. */
  async acceleration(): Promise<{ readonly acceleration: 'kvm' | 'tcg'; readonly reason: string | null }> {
    const told = await this.#json(['acceleration', '--format', 'json'], probeMs) as { acceleration?: unknown; reason?: unknown };
    if (told.acceleration !== 'kvm' && told.acceleration !== 'tcg') throw new OperatingError('runv', 'runv acceleration answered neither kvm nor tcg');
    return { acceleration: told.acceleration, reason: typeof told.reason === 'string' && told.reason !== '' ? told.reason : null };
  }

  /** Ends machines that wait for containers of images that are gone, or all of them, and removes images of layers that are gone. */
  async sweepPool(all: boolean): Promise<void> {
    await this.#run(['pool', 'sweep', ...(all ? ['--all'] : [])], addMs);
  }

  /** Processes of the host are about to join the network of a machine that runs. */
  async shareNetwork(id: string): Promise<void> {
    await this.#run(['share-network', id], quickMs);
  }

  /** By force. Nothing there is no error. */
  async delete(id: string): Promise<void> {
    await this.#run(['delete', '--force', id], quickMs);
  }

  async processes(id: string): Promise<readonly GuestProcess[]> {
    const told = await this.#json(['ps', '--format', 'json-long', id], quickMs);
    if (!Array.isArray(told)) throw new OperatingError('runv', 'runv ps answered with no list');
    return told.map(guestProcess);
  }

  async #json(args: readonly string[], timeoutMs: number): Promise<unknown> {
    const text = await this.#run(args, timeoutMs);
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new OperatingError('runv', `runv ${args[0] ?? ''} answered what is no JSON: ${text.slice(0, 200)}`, { cause: error });
    }
  }

  async #run(args: readonly string[], timeoutMs: number): Promise<string> {
    const { path, root, searchPath } = this.#options;
    return await new Promise<string>((resolve, reject) => {
      execFile(path, ['--root', root, ...args], { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maxOutputBytes, env: { PATH: searchPath }, cwd: '/' }, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const words = lastWords(stderr) || (error.killed === true ? `it did not end within ${timeoutMs / 1_000} s` : messageOf(error));
        reject(new OperatingError('runv', words, { cause: error }));
      });
    });
  }
}

/** The last line that it wrote to stderr, without the name of the program. */
function lastWords(stderr: string): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  return line.replace(/^runv: /, '').slice(0, 1_000);
}

function storedKernel(told: unknown): StoredKernel {
  const { name, sourceDigest, release, profiles } = (told ?? {}) as { name?: unknown; sourceDigest?: unknown; release?: unknown; profiles?: unknown };
  if (typeof name !== 'string' || typeof sourceDigest !== 'string') throw new OperatingError('runv', 'runv told of a kernel without name or digest');
  const verdicts = Object.entries((profiles ?? {}) as Record<string, { ok?: unknown; bootMs?: unknown; lacks?: unknown }>).map(([profile, { ok, bootMs, lacks }]): KernelProbe => ({
    profile, ok: ok === true, bootMs: typeof bootMs === 'number' ? Math.round(bootMs) : null, lacks: Array.isArray(lacks) ? lacks.map(String).slice(0, 32) : [],
  }));
  return { name, sourceDigest, release: typeof release === 'string' ? release : null, profiles: verdicts };
}

function guestProcess(told: unknown): GuestProcess {
  const { pid, parentPid, uid, startedAtMs, cpuMs, residentBytes, command } = (told ?? {}) as Partial<Record<keyof GuestProcess, unknown>>;
  const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
  return {
    pid: number(pid), parentPid: number(parentPid), uid: number(uid), startedAtMs: typeof startedAtMs === 'number' ? startedAtMs : null, cpuMs: number(cpuMs), residentBytes: number(residentBytes),
    command: typeof command === 'string' ? command : '',
  };
}
