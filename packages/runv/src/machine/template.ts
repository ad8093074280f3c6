// Templates: a machine is booted once, its memory and state are kept, and every further machine of the same command line is a clone of it that
// answers within a tenth of a boot's time. A clone maps the memory copy-on-write; the file must never change while clones live.
// What a clone must not share (RNG, clock, machine-id, names, MAC) its CONFIGURE sets. It must not make templates of machines with shares.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, chown, mkdir, readFile, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { layerDiskBytes, scratchBytes } from './disk-sizes.ts';
import { MachineError } from './errors.ts';
import { awaitHello } from './hello.ts';
import { launchQemu, type User } from './launch.ts';
import { makeOnce } from './once.ts';
import { qemuCommand, type Machine } from './qemu-command.ts';
import { Qmp } from './qmp.ts';
import type { Kernel } from './types.ts';

/** The descriptor that a clone's QEMU has the state on: a line `open` of the monitor's configuration. */
export const stateFd = 100;

/** How long the guest goes on after its answer, so that what starts late (kernel threads, deferred work) is in the template. */
const settleMs = 200;
const maxStateBytes = 64 << 20;

/** A machine whose kernel is known by its digests. */
export type TemplatableMachine = Machine & { readonly kernel: Kernel };

export interface Template {
  readonly memoryPath: string;
  readonly statePath: string;
}

interface TemplateRecord { readonly memoryCtimeMs: number; readonly stateDigest: string }

/** Whether clones of such a machine can be: virtiofs' state cannot be moved, and a bare machine has its root in its initramfs. */
export function isTemplatable({ profile, shares, disks }: Machine): boolean {
  return profile !== 'bare' && shares.length === 0 && disks.every(({ readOnly }, index) => readOnly || index === disks.length - 1);
}

/** The same command line with nothing of one container in it: what a template and its clones have in common. */
function shapeOf(machine: TemplatableMachine, at: (name: string) => string, memory: string): TemplatableMachine {
  return {
    ...machine,
    disks: machine.disks.map(({ id, readOnly }) => ({ id, readOnly, path: at(readOnly ? 'layer' : 'scratch') })),
    ...(machine.nic === undefined ? {} : { nic: { mac: '52:54:00:00:00:01' }, unplugged: true }),
    controlPath: at('control.sock'), qmpPath: at('qmp.sock'), consolePath: at('console.log'), name: 'template',
    memoryFile: { path: memory, share: true },
  };
}

/** Changes with everything that a template depends on: QEMU, kernel, init, the command line, the host's kernel. */
export async function templateKey(machine: TemplatableMachine): Promise<string> {
  const { size, mtimeMs } = await stat(machine.qemu);
  const parts = [...qemuCommand(shapeOf(machine, (name) => name, 'memory')), size, mtimeMs, machine.kernel.digest, machine.kernel.initDigest, release()];
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The template for such a machine, checked; undefined when there is none, or not a whole one any more. */
export async function findTemplate(directory: string, machine: TemplatableMachine): Promise<Template | undefined> {
  if (!isTemplatable(machine)) return undefined;
  const place = join(directory, await templateKey(machine));
  const template = { memoryPath: join(place, 'memory'), statePath: join(place, 'state') };
  try {
    const record = JSON.parse(await readFile(join(place, 'template.json'), 'utf8')) as TemplateRecord;
    // The change time tells every write, and QEMU's user cannot set it back.
    const whole = (await stat(template.memoryPath)).ctimeMs === record.memoryCtimeMs && sha256(await readFile(template.statePath)) === record.stateDigest;
    if (!whole) {
      await rm(place, { recursive: true, force: true });
      return undefined;
    }
    const now = new Date();
    await utimes(place, now, now); // the last use, for the sweep
    return template;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The machine as a clone: its QEMU is given `stateFd`, waits, and is brought to life by `wakeClone`. */
export function cloneOf<M extends Machine>(machine: M, { memoryPath }: Template): M {
  return { ...machine, memoryFile: { path: memoryPath, share: false }, incoming: true };
}

async function connectQmp(path: string, deadline: number): Promise<Qmp> {
  for (;;) {
    try {
      return await Qmp.connect(path, Math.max(1, deadline - performance.now()));
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(2); // QEMU has not made its socket yet
    }
  }
}

/** Lets a clone take the template's state in and run. Throws `qmp-failed` or `qmp-timeout`: then it is to be ended and the machine booted cold. */
export async function wakeClone(qmpPath: string, timeoutMs = 10_000, paused = false): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const qmp = await connectQmp(qmpPath, deadline);
  try {
    await qmp.migrationCapabilities({ 'x-ignore-shared': true });
    await qmp.migrateFrom(stateFd, Math.max(1, deadline - performance.now()));
    if (!paused) await qmp.cont();
  } finally {
    qmp.close();
  }
}

/** Lets a machine that stands still go on. Throws `qmp-failed` or `qmp-timeout`. */
export async function resumeMachine(qmpPath: string): Promise<void> {
  const qmp = await Qmp.connect(qmpPath);
  try {
    await qmp.cont();
  } finally {
    qmp.close();
  }
}

export interface TemplateOptions {
  /** Whom QEMU runs as, and whom the memory belongs to; absent: this process's user. */
  readonly user?: User;
  readonly bootTimeoutMs?: number;
}

/** Makes the template for such a machine, unless it is there: seconds. Several processes at once make it once. */
export async function makeTemplate(directory: string, machine: TemplatableMachine, options: TemplateOptions = {}): Promise<Template> {
  if (!isTemplatable(machine)) throw new TypeError('there are no templates of such a machine');
  const there = await findTemplate(directory, machine);
  if (there !== undefined) return there;
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const place = join(directory, await templateKey(machine));
  await makeOnce(place, (temporary) => bootTemplate(temporary, machine, options));
  return { memoryPath: join(place, 'memory'), statePath: join(place, 'state') };
}

async function bootTemplate(place: string, machine: TemplatableMachine, { user, bootTimeoutMs = 60_000 }: TemplateOptions): Promise<void> {
  const at = (name: string): string => join(place, name);
  await mkdir(place, { mode: 0o755 });
  // Placeholders of the very sizes that the clones' disks have: a guest learns a disk's size once.
  for (const [name, size] of [['layer', layerDiskBytes], ['scratch', scratchBytes]] as const) {
    await writeFile(at(name), '');
    await truncate(at(name), size);
    if (user !== undefined) await chown(at(name), user.uid, user.gid);
  }
  if (user !== undefined) await chown(place, user.uid, user.gid);
  const qemu = await launchQemu(qemuCommand(shapeOf(machine, at, at('memory'))), user);
  try {
    const deadline = performance.now() + bootTimeoutMs;
    const features = await awaitHello(at('control.sock'), () => qemu.runs() && performance.now() < deadline);
    if (features === undefined) throw new MachineError('bad-kernel', `the template's guest did not come up: ${qemu.words() || 'no answer in time'}`);
    await delay(settleMs);
    await saveState(at('qmp.sock'), at('state.sock'), at('state'));
  } finally {
    await qemu.end();
  }
  for (const name of await readdir(place)) if (name !== 'memory' && name !== 'state') await rm(at(name), { force: true });
  await chown(place, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(at('memory'), 0o600);
  const record: TemplateRecord = { memoryCtimeMs: (await stat(at('memory'))).ctimeMs, stateDigest: sha256(await readFile(at('state'))) };
  await writeFile(at('template.json'), JSON.stringify(record));
}

/** Stops the machine and writes its state; the memory is in its file already. */
async function saveState(qmpPath: string, socketPath: string, statePath: string): Promise<void> {
  const file = createWriteStream(statePath, { mode: 0o600 });
  const written = once(file, 'close');
  const server = createServer((socket) => {
    server.close();
    socket.on('error', (error) => file.destroy(error));
    socket.pipe(file);
  });
  const qmp = await Qmp.connect(qmpPath);
  try {
    server.listen(socketPath);
    await once(server, 'listening');
    await chmod(socketPath, 0o666); // within a directory that only QEMU's user and we write to, for the moment that this takes
    await qmp.stop();
    await qmp.migrationCapabilities({ 'x-ignore-shared': true });
    await qmp.migrateTo(socketPath, 30_000);
    await qmp.quit().catch((error: unknown) => { if (!(error instanceof MachineError)) throw error; }); // it may be gone before it has answered
    await written;
  } finally {
    qmp.close();
    server.close();
    file.destroy();
  }
  if ((await stat(statePath)).size > maxStateBytes) throw new MachineError('qmp-failed', 'the state of the template is bigger than such a machine\'s can be');
}

/** Keeps the `keep` most recently used templates. Clones that run keep the memory that they have mapped. Returns how many went. */
export async function sweepTemplates(directory: string, keep: number): Promise<number> {
  const names = (await readdir(directory).catch(() => [])).filter((name) => /^[0-9a-f]{32}$/.test(name)); // no directory: nothing to sweep
  const used = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(directory, name))).mtimeMs })));
  const gone = used.sort((a, b) => b.at - a.at).slice(keep);
  for (const { name } of gone) await rm(join(directory, name), { recursive: true, force: true });
  return gone.length;
}
