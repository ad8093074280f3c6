// The virtual machines' room: runv's settings, what this host can tell of its kernels and acceleration, and kernels fetched when they are needed.
// It reaches runv only by executing it, and starts no container.
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { kernelSubject, type Message } from '@pouch/contracts';
import { decideKernel, isKernelName, isUnbootable, kernelId, kernelOf, type ContainerSpec, type Kernel, type MachineFacts } from '@pouch/domain';
import { execute, type EventLog, type ObjectStore } from '@pouch/eventlog';
import { messageOf, OperatingError, type Logger } from '@pouch/process';
import type { AgentConfig } from '../config.ts';
import { ImpossibleError } from '../containers/failures.ts';
import { unpackKernel } from './kernel-archive.ts';
import { Readings } from './readings.ts';
import { Runv, type GuestProcess, type StoredKernel } from './runv.ts';

export interface MachinesDeps {
  readonly config: AgentConfig;
  /** Of the runtime runv. */
  readonly path: string;
  /** What runv is given as --root, by the shim too. */
  readonly root: string;
  readonly log: EventLog<Message>;
  readonly objects: Pick<ObjectStore, 'get'>;
  readonly logger: Logger;
  readonly now: () => number;
  /** The facts are others now. Answers with the log's sequence that tells of them; null where the log is away. */
  readonly onChange: () => Promise<number | null>;
}

/** containerd collects garbage a second after a deletion. */
const collectedMs = 5_000;
/** A machine whose owner has gone writes down what it has and ends. */
const ownEndMs = 5_000;
const ownEndLookMs = 50;

const softwareWarning = 'virtual machines (runtime runv) run in software emulation (tcg), which is much slower than KVM';

export class Machines {
  readonly #deps: MachinesDeps;
  readonly #runv: Runv;
  /** What guests tell of their use of things. */
  readonly readings: Readings;
  readonly #directory: string;
  #kernels: readonly StoredKernel[] = [];
  #acceleration: MachineFacts['acceleration'] = null;
  #accelerationReason: string | null = null;
  /** Why runv does not answer; null while it does. */
  #fault: string | null = null;
  /** Kernels that came from the catalogue: digest of the archive by name. */
  #fetched: Record<string, string> = {};
  readonly #underWay = new Map<string, Promise<void>>();
  /** Changes of the store: one at a time. */
  #turn: Promise<void> = Promise.resolve();
  #sweepDue = false;

  constructor(deps: MachinesDeps) {
    this.#deps = deps;
    const runv = { path: deps.path, root: deps.root, searchPath: deps.config.path };
    this.#runv = new Runv(runv);
    this.readings = new Readings(runv);
    this.#directory = join(deps.config.dataDir, 'runv');
  }

  /** Writes runv's settings and reads its store. A runv that does not answer is a warning of the host. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o711 });
    await mkdir(this.#deps.root, { recursive: true, mode: 0o711 });
    for (const left of [this.#incoming(), this.#consoles()]) await rm(left, { recursive: true, force: true });
    this.#fetched = await readFetched(join(this.#directory, 'fetched.json'));
    await this.#writeConfig();
    await this.#refresh();
    await this.#sweep();
  }

  /** An image has gone: its layers follow when containerd has collected them, and machines that wait with them. */
  async sweepLater(): Promise<void> {
    if (this.#sweepDue) return;
    this.#sweepDue = true;
    await delay(collectedMs, undefined, { ref: false });
    this.#sweepDue = false;
    await this.#sweep();
  }

  /** Finds out how machines are accelerated, by booting one where that is not known yet: seconds to a minute. */
  async probeAcceleration(): Promise<void> {
    if (this.#defaultKernel() === null || this.#acceleration !== null) return;
    try {
      const { acceleration, reason } = await this.#runv.acceleration();
      this.#acceleration = acceleration;
      this.#accelerationReason = reason;
      this.#deps.logger.info({ acceleration, reason }, 'acceleration of virtual machines is known');
    } catch (error) {
      this.#deps.logger.warn({ err: error }, 'the acceleration of virtual machines could not be found out');
      this.#accelerationReason = messageOf(error);
    }
    await this.#deps.onChange();
  }

  /** Finds out what the default kernel can, by booting it under each profile where that is not known. */
  async probeDefaultKernel(): Promise<void> {
    const name = this.#defaultKernel();
    if (!this.#deps.config.machines.probeKernel || name === null || (this.#stored(name)?.profiles.length ?? 0) > 0) return;
    try {
      await this.#boot(name, 'agent');
      this.#deps.logger.info({ kernel: name, profiles: this.#stored(name)?.profiles }, 'what the default guest kernel can is known');
    } catch (error) {
      this.#deps.logger.warn({ err: error, kernel: name }, 'what the default guest kernel can could not be found out');
    }
  }

  /** Null: runv does not answer, so nothing is known. */
  facts(): MachineFacts | null {
    if (this.#fault !== null) return null;
    return {
      acceleration: this.#acceleration,
      kernels: this.#kernels.map(({ name, sourceDigest, release, profiles }) => ({ name, digest: sourceDigest, release, profiles })),
      defaultKernel: this.#defaultKernel(),
    };
  }

  warnings(): readonly string[] {
    const reason = this.#accelerationReason === null ? '' : `: ${this.#accelerationReason}`;
    return [
      ...(this.#fault === null ? [] : [`the runtime runv does not answer: ${this.#fault}`]),
      ...(this.#acceleration === 'tcg' ? [`${softwareWarning}${reason}`] : []),
      ...(this.#fault === null && this.#defaultKernel() === null ? ['there is no guest kernel on this host: containers with the runtime runv must name one of the catalogue'] : []),
    ];
  }

  /** Sees to it that the kernel of a container is here. Throws ImpossibleError where it cannot be, LogUnavailable. */
  async ensureKernel(spec: ContainerSpec): Promise<void> {
    const name = kernelOf(spec);
    if (name === null) {
      if (this.#defaultKernel() === null) throw new ImpossibleError('bad-parameter', 'there is no guest kernel on this host; name one of the catalogue, or add one with `pouch kernel add`');
      return;
    }
    if (!isKernelName(name)) throw new ImpossibleError('bad-parameter', `${JSON.stringify(name.slice(0, 80))} is not a kernel's name`);
    if (this.#stored(name) !== undefined && this.#fetched[name] === undefined) return; // the host's own
    await this.#fetch(name);
    const profiles = this.#stored(name)?.profiles ?? [];
    if (isUnbootable(profiles)) throw new ImpossibleError('unsupported', `the guest kernel ${name} does not boot on this host: ${profiles.map(({ profile, lacks }) => `${profile}: ${lacks.join(', ')}`).join('; ')}`);
  }

  /** Fetches a kernel of the catalogue where it is not here, boots it and tells the log. Answers with the log's sequence of that. */
  async probe(name: string, actor: string): Promise<{ seq: number }> {
    if (!isKernelName(name)) throw new OperatingError('bad-parameter', `${JSON.stringify(name.slice(0, 80))} is not a kernel's name`);
    const known = await this.#catalogued(name);
    if (known === null && this.#stored(name) === undefined) throw new OperatingError('not-found', `there is no guest kernel ${JSON.stringify(name)}`);
    if (known !== null) await this.#fetch(name, { probing: false });
    return await this.#boot(name, actor);
  }

  /** Removes a kernel that the catalogue no longer has. Answers with the sequence that tells of it. */
  async forget(name: string): Promise<{ seq: number | null }> {
    if (this.#fetched[name] === undefined || (await this.#catalogued(name)) !== null) return { seq: null };
    await this.#alone(async () => await this.#drop(name));
    return { seq: await this.#deps.onChange() };
  }

  /** Removes what was fetched of kernels that the catalogue has no more, e.g. since this agent was away. */
  async forgetRemoved(): Promise<void> {
    for (const name of Object.keys(this.#fetched)) await this.forget(name);
  }

  /** `name` null: the default. With its release where that is known. */
  kernelName(name: string | null): string {
    const { defaultKernel } = this.#deps.config.machines;
    const release = this.#stored(name ?? defaultKernel)?.release ?? null;
    return `${name ?? defaultKernel}${release === null ? '' : ` (${release})`}`;
  }

  /** Takes over what runv kept of the console of a machine that did not come up: `kept` is then that. Nothing there is no error. */
  async takeConsole(containerId: string, kept: string): Promise<void> {
    const console = join(this.#consoles(), `${containerId}.log`);
    try {
      await copyFile(console, kept);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      await rm(console, { force: true });
    }
  }

  /** Before a container of another runtime joins the network of one that is a machine. Doing it again changes nothing. */
  async shareNetwork(containerId: string): Promise<void> {
    await this.#runv.shareNetwork(containerId);
  }

  /** Ends a machine that runs for its container's files and has nobody any more; it is on its way to its end by itself. Nothing there is no error. */
  async endForFiles(containerId: string): Promise<void> {
    const isThere = async (): Promise<boolean> => await stat(join(this.#deps.root, containerId)).then(() => true, () => false);
    for (let waited = 0; waited < ownEndMs && await isThere(); waited += ownEndLookMs) await delay(ownEndLookMs);
    if (await isThere()) await this.#runv.delete(containerId);
  }

  async processes(containerId: string): Promise<readonly GuestProcess[]> {
    return await this.#runv.processes(containerId);
  }

  #stored(name: string): StoredKernel | undefined {
    return this.#kernels.find((kernel) => kernel.name === name);
  }

  #defaultKernel(): string | null {
    const { defaultKernel } = this.#deps.config.machines;
    return this.#stored(defaultKernel) === undefined ? null : defaultKernel;
  }

  async #catalogued(name: string): Promise<Kernel | null> {
    const kernel = ((await this.#deps.log.last(kernelSubject(kernelId(name))))?.message.snapshot ?? null) as Kernel | null;
    return kernel?.state === 'present' ? kernel : null;
  }

  /** One fetch of a kernel at once, however many containers wait for it. */
  async #fetch(name: string, { probing = true } = {}): Promise<void> {
    const before = this.#underWay.get(name);
    if (before !== undefined) return await before;
    const fetching = this.#fetchNow(name, probing).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, fetching);
    await fetching;
  }

  async #fetchNow(name: string, probing: boolean): Promise<void> {
    const kernel = await this.#catalogued(name);
    if (kernel === null) throw new ImpossibleError('not-found', `there is no guest kernel ${JSON.stringify(name)} in the catalogue${this.#kernels.length === 0 ? '' : `; this host has ${this.#kernels.map((one) => one.name).join(', ')}`}`);
    const { digest } = kernel.record.archive;
    const stored = this.#stored(name);
    if (stored !== undefined && this.#fetched[name] === digest) {
      // What was known of it was known with another QEMU.
      if (probing && stored.profiles.length === 0) await this.#boot(name, 'agent');
      return;
    }
    const directory = join(this.#incoming(), randomUUID());
    await mkdir(directory, { recursive: true, mode: 0o700 });
    try {
      const { image, modules } = await unpackKernel(this.#deps.objects, digest, directory);
      await this.#alone(async () => {
        if (this.#stored(name) !== undefined) await this.#drop(name);
        await this.#runv.addKernel(name, image, modules);
        this.#fetched = { ...this.#fetched, [name]: digest };
        await this.#keepFetched();
        await this.#refresh();
      });
      this.#deps.logger.info({ kernel: name, digest }, 'guest kernel fetched');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
    if (probing) await this.#boot(name, 'agent');
  }

  async #boot(name: string, actor: string): Promise<{ seq: number }> {
    const { log, now, config } = this.#deps;
    const profiles = await this.#runv.probeKernel(name);
    await this.#refresh();
    const told = await this.#deps.onChange();
    const kernel = await this.#catalogued(name);
    if (kernel === null) return { seq: told ?? 0 };
    const nowMs = now();
    const { digest } = kernel.record;
    const outcome = await execute({
      log, kind: 'kernel', subject: kernelSubject(kernel.id), commandId: randomUUID(), meta: { atMs: nowMs, service: 'agent', actor, cause: null },
      decide: (state) => decideKernel(state, { type: 'ReportKernelProbed', hostId: config.hostId, digest, profiles }, nowMs),
    });
    return { seq: Math.max(outcome.seq, told ?? 0) };
  }

  async #drop(name: string): Promise<void> {
    await this.#runv.removeKernel(name);
    const { [name]: _gone, ...rest } = this.#fetched;
    this.#fetched = rest;
    await this.#keepFetched();
    await this.#refresh();
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined); // whoever asked is told; the next one has its own turn
    await mine;
  }

  async #refresh(): Promise<void> {
    try {
      this.#kernels = await this.#runv.kernels();
      this.#fault = null;
    } catch (error) {
      this.#fault = messageOf(error);
      this.#deps.logger.warn({ err: error }, 'runv does not tell of its kernels');
    }
  }

  /** What is left over costs memory and disk, no more: the next sweep tries again. */
  async #sweep(): Promise<void> {
    try {
      await this.#runv.sweepPool(this.#deps.config.machines.pool === 0);
    } catch (error) {
      this.#deps.logger.warn({ err: error }, 'machines that wait could not be swept');
    }
  }

  /** Where runv looks for it: in its --root. Templates are of kernels, and like them to be reached by QEMU's user. */
  async #writeConfig(): Promise<void> {
    const { qemu, kernelDir, defaultKernel, pool } = this.#deps.config.machines;
    const settings = { ...(qemu === null ? {} : { qemu }), kernelDir, templateDir: join(dirname(kernelDir), 'templates'), layerDir: join(this.#directory, 'layers'), consoleDir: this.#consoles(), defaultKernel, pool };
    await writeByRename(join(this.#deps.root, 'runv.json'), JSON.stringify(settings));
  }

  async #keepFetched(): Promise<void> {
    await writeByRename(join(this.#directory, 'fetched.json'), JSON.stringify(this.#fetched));
  }

  /** Of machines that did not come up. */
  #consoles(): string {
    return join(this.#directory, 'consoles');
  }

  #incoming(): string {
    return join(this.#directory, 'incoming');
  }
}

async function writeByRename(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o644 });
  await rename(`${path}.new`, path);
}

/** Names that nobody remembers are the host's own: nothing is lost but their removal. */
async function readFetched(path: string): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, string>;
  } catch {
    return {}; // the first start, or a file that was damaged
  }
}
