// The start of a planned machine: one that the pool has ready, else a template's clone, else a cold boot. It must not decide what the machine is.
import { spawn } from 'node:child_process';
import { chown, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { RunvConfig } from './config.ts';
import { messageOf } from './failure.ts';
import { launchMonitor, type Monitor } from './launch.ts';
import { configText } from './monitor-config.ts';
import type { MachinePlan } from './machine-plan.ts';
import { qemuCommand } from './machine/qemu-command.ts';
import { cloneOf, findTemplate, isTemplatable, resumeMachine, stateFd, wakeClone, type Template } from './machine/template.ts';
import { tapName } from './network.ts';
import { placesOf, type Places } from './places.ts';
import { claimMember, isPoolable, memberKey, noteUse } from './pool/members.ts';
import { memberPlaces } from './pool/places.ts';
import { encodeWanted, rehearsalOf } from './pool/wanted.ts';
import { provideScratch } from './rootfs/scratch.ts';
import type { RuntimeSpec } from './spec.ts';

export interface CreateRequest {
  readonly root: string;
  readonly id: string;
  readonly bundle: string;
  readonly pidFile?: string;
  readonly consoleSocket?: string;
  /** What the network namespace holds can be read from there (runv's front has begun to read it). */
  readonly networkFd?: number;
  /** The container's process is not started: the guest's init waits, and reads and writes files for others (verbs/hold-files.ts). */
  readonly files?: true;
  /** Outlives this process. */
  readonly detached: boolean;
  /** What does not keep it from starting. */
  readonly warn: (message: string) => void;
}

export interface MachineStart {
  readonly request: CreateRequest;
  readonly spec: RuntimeSpec;
  readonly plan: MachinePlan;
  readonly config: RunvConfig;
  readonly cgroups: readonly string[];
  readonly terminal: boolean;
  readonly netns: string | undefined;
  /** It is another container's: what arrives there is not all the machine's. */
  readonly joined: boolean;
}

/** A machine that was written to for somebody's copy may have much to bring to its disk. */
const writtenTimeoutMs = 60_000;

type Line = readonly [key: string, value: string | number];

/** The directory of sockets, which QEMU's user reaches, and the way to the console from the container's record. */
export async function makePlaces(places: Places, config: RunvConfig): Promise<void> {
  await rm(places.socketDir, { recursive: true, force: true });
  await mkdir(places.socketDir, { recursive: true, mode: 0o711 });
  await mkdir(places.qemuDir, { mode: 0o700 });
  await writeFile(places.consolePath, '', { mode: 0o640 });
  for (const path of [places.qemuDir, places.consolePath]) await chown(path, config.uid, config.gid);
  await rm(join(places.stateDir, 'console.log'), { force: true });
  await symlink(places.consolePath, join(places.stateDir, 'console.log'));
}

/** What every machine's monitor is told, wherever its QEMU comes from. */
function commonLines({ request, plan, config, cgroups, terminal, netns, joined }: MachineStart): Line[] {
  const places = placesOf(request.root, request.id);
  const at = (name: string): string => join(places.stateDir, name);
  const console: Line[] = terminal ? [['tty', 1], ['console-socket', resolve(request.consoleSocket ?? '')]] : [];
  return [
    ['role', 'machine'], ['id', 1], ['ready-fd', 3], ['socket', places.monitorSocket], ['control', places.controlPath],
    ['configure', at('configure.bin')], ['spawn', at('spawn.bin')], ['stdin', 1], ...console,
    ...(request.pidFile === undefined ? [] : [['pid-file', resolve(request.pidFile)] as const]),
    ...(netns === undefined ? [] : [['netns', netns] as const]),
    ...(plan.machine.nic === undefined || plan.network === undefined ? [] : [['tap', tapName], ['link', plan.network.link]] as const),
    ...(joined ? [['shared', 1] as const] : []),
    ...cgroups.map((directory): Line => ['cgroup', join(directory, 'cgroup.procs')]),
    ['uid', config.uid], ['gid', config.gid],
    ...(request.files === true ? [['starter', process.pid] as const] : []),
    ['status', at('status.json')], ['console', places.consolePath], ['boot-timeout-ms', config.bootTimeoutMs], ['poweroff-timeout-ms', request.files === true ? writtenTimeoutMs : config.powerOffTimeoutMs],
  ];
}

function ownLines({ request, plan }: MachineStart, template: Template | undefined): Line[] {
  const machine = template === undefined ? plan.machine : cloneOf(plan.machine, template);
  return [
    ...qemuCommand(machine).map((argument): Line => ['qemu-arg', argument]),
    ...plan.opens.map(({ fd, path, readOnly }): Line => ['open', `${fd} ${readOnly ? 'ro' : 'rw'} ${path}`]),
    ...(template === undefined ? [] : [['open', `${stateFd} ro ${template.statePath}`] as const]),
    ...plan.sides.flatMap(({ program, args }): Line[] => [['side', program], ...args.map((argument): Line => ['side-arg', argument])]),
    ['qemu-log', join(placesOf(request.root, request.id).stateDir, 'qemu.log')],
  ];
}

/** By then most short containers have ended, so that what is made for the next one does not slow this one. */
const laterSeconds = '1';

/** A verb of ours in the background, for the next machine. Whoever started us must not wait for it: it has none of our descriptors. */
function later(root: string, verb: string, word: string): void {
  const main = process.argv[1] ?? '';
  const script = 'sleep "$1"; shift; exec "$@"';
  spawn('/bin/sh', ['-c', script, 'sh', laterSeconds, process.execPath, '--no-warnings', main, '--root', root, verb, word], { detached: true, stdio: 'ignore', cwd: '/', env: { PATH: '/usr/bin:/bin' } }).unref();
}

async function writeConfiguration({ request, plan }: MachineStart, lines: readonly Line[], prepared: boolean): Promise<string> {
  const { stateDir } = placesOf(request.root, request.id);
  const path = join(stateDir, 'monitor.conf');
  await writeFile(join(stateDir, 'configure.bin'), prepared ? plan.settings : Buffer.concat([plan.root, plan.settings]), { mode: 0o600 });
  await writeFile(path, configText(lines), { mode: 0o600 });
  return path;
}

/** From the pool; undefined where it has none, or where that one did not come up. */
async function startReady(start: MachineStart, key: string, scratchPath: string): Promise<Monitor | undefined> {
  const { request, plan, config } = start;
  const places = placesOf(request.root, request.id);
  if (!(await claimMember(config.layerDir, key, places.socketDir, scratchPath))) return undefined;
  const { keeperSocket, qemuLog } = memberPlaces(places.socketDir);
  try {
    const path = await writeConfiguration(start, [...commonLines(start), ['keeper', keeperSocket], ['qemu-log', qemuLog]], true);
    return await launchMonitor(path, { detached: request.detached, readyTimeoutMs: config.bootTimeoutMs + 10_000, meanwhile: () => resumeMachine(plan.machine.qmpPath) });
  } catch (error) {
    // A terminal has been handed over already, and its receiver takes only one.
    if (request.consoleSocket !== undefined) throw error;
    request.warn(`a machine of the pool did not come up, another one is started: ${messageOf(error)}`);
    await rm(scratchPath, { force: true }); // its QEMU may still be ending
    await makePlaces(places, config);
    return undefined;
  }
}

/** A clone that does not come up is booted cold. */
async function startOwn(start: MachineStart, template: Template | undefined): Promise<Monitor> {
  const { request, plan, config } = start;
  const options = { detached: request.detached, readyTimeoutMs: config.bootTimeoutMs + 10_000 };
  const launch = async (from: Template | undefined): Promise<Monitor> => await launchMonitor(await writeConfiguration(start, [...commonLines(start), ...ownLines(start, from)], false), from === undefined ? options : { ...options, meanwhile: () => wakeClone(plan.machine.qmpPath) });
  if (template === undefined) return await launch(undefined);
  try {
    return await launch(template);
  } catch (error) {
    if (request.consoleSocket !== undefined) throw error; // as above
    request.warn(`the clone of template ${basename(dirname(template.statePath))} did not come up, the machine is booted: ${messageOf(error)}`);
    return await launch(undefined);
  }
}

/** Answers once the guest is configured. */
export async function startMachine(start: MachineStart): Promise<Monitor> {
  const { request, request: { root }, spec, plan: { machine, root: rootRecords, scratch }, config, joined } = start;
  const templates = config.templates && isTemplatable(machine);
  // One for files is there for seconds, and none like it may wait.
  const pooled = request.files !== true && !joined && config.pool > 0;
  const key = templates && pooled && (await isPoolable(machine, scratch, config.layerDir)) ? await memberKey(machine, rootRecords) : undefined;
  if (key !== undefined) await noteUse(config.layerDir, key, Date.now());
  const fill = (): void => {
    if (key !== undefined) later(root, 'fill-pool', encodeWanted({ machine, root: rootRecords, rehearsal: rehearsalOf(spec, rootRecords) }));
  };
  const ready = key === undefined || scratch === undefined ? undefined : await startReady(start, key, scratch.path);
  if (ready !== undefined) {
    fill();
    return ready;
  }
  if (scratch !== undefined) await provideScratch(scratch.path, config.layerDir, { uid: config.uid, gid: config.gid });
  const template = templates ? await findTemplate(config.templateDir, machine) : undefined;
  const monitor = await startOwn(start, template);
  if (key !== undefined) fill();
  else if (templates && template === undefined && request.files !== true) later(root, 'make-template', JSON.stringify({ ...machine, disks: machine.disks.map(({ id, path, readOnly }) => ({ id, path, readOnly })) }));
  return monitor;
}
