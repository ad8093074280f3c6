// The making of a container, for `create` and `run`: its record, cgroup, hooks, machine and monitor; all of it is taken away again when a part fails.
import { spawn } from 'node:child_process';
import { chown, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cgroupPath, limitCgroups, makeCgroups, removeCgroups } from './cgroups.ts';
import { readConfig, type RunvConfig } from './config.ts';
import { Failure } from './failure.ts';
import { refuseGuestHooks, runHooks } from './hooks.ts';
import { configText, launchMonitor, type Monitor } from './launch.ts';
import { planMachine, type MachinePlan } from './machine-plan.ts';
import { qemuCommand, tapFd } from './machine/qemu-command.ts';
import { cloneOf, findTemplate, isTemplatable, stateFd, wakeClone, type Template } from './machine/template.ts';
import { newNetwork, readNetwork, type GuestNetwork } from './network.ts';
import { placesOf, type Places } from './places.ts';
import { checkProcess, readSpec, type RuntimeSpec } from './spec.ts';
import { guestDevices, refuseImpossible, spawnPayload } from './spec-to-guest.ts';
import { claim, processStart, writeState, type ContainerState } from './state.ts';

export interface CreateRequest {
  readonly root: string;
  readonly id: string;
  readonly bundle: string;
  readonly pidFile?: string;
  readonly consoleSocket?: string;
  /** Outlives this process. */
  readonly detached: boolean;
}

type Line = readonly [key: string, value: string | number];

async function makePlaces(places: Places, config: RunvConfig): Promise<void> {
  await rm(places.socketDir, { recursive: true, force: true });
  await mkdir(places.socketDir, { recursive: true, mode: 0o711 });
  await mkdir(places.qemuDir, { mode: 0o700 });
  await writeFile(places.consolePath, '', { mode: 0o640 });
  for (const path of [places.qemuDir, places.consolePath]) await chown(path, config.uid, config.gid);
  await symlink(places.consolePath, join(places.stateDir, 'console.log'));
}

function monitorLines(request: CreateRequest, plan: MachinePlan, template: Template | undefined, config: RunvConfig, more: { readonly cgroups: readonly string[]; readonly terminal: boolean; readonly netns: string | undefined; readonly network: GuestNetwork | undefined }): Line[] {
  const places = placesOf(request.root, request.id);
  const at = (name: string): string => join(places.stateDir, name);
  const machine = template === undefined ? plan.machine : cloneOf(plan.machine, template);
  const terminal: Line[] = more.terminal ? [['tty', 1], ['console-socket', resolve(request.consoleSocket ?? '')]] : [];
  return [
    ['role', 'machine'], ['id', 1], ['ready-fd', 3], ['socket', places.monitorSocket], ['control', places.controlPath],
    ['configure', at('configure.bin')], ['spawn', at('spawn.bin')], ['stdin', 1], ...terminal,
    ...(request.pidFile === undefined ? [] : [['pid-file', resolve(request.pidFile)] as const]),
    ...(more.netns === undefined ? [] : [['netns', more.netns] as const]),
    ...(machine.nic === undefined || more.network === undefined ? [] : [['tap', `tap${tapFd}`], ['link', more.network.link]] as const),
    ...more.cgroups.map((directory): Line => ['cgroup', join(directory, 'cgroup.procs')]),
    ['uid', config.uid], ['gid', config.gid],
    ...qemuCommand(machine).map((argument): Line => ['qemu-arg', argument]),
    ...plan.opens.map(({ fd, path, readOnly }): Line => ['open', `${fd} ${readOnly ? 'ro' : 'rw'} ${path}`]),
    ...(template === undefined ? [] : [['open', `${stateFd} ro ${template.statePath}`] as const]),
    ...plan.sides.flatMap(({ program, args }): Line[] => [['side', program], ...args.map((argument): Line => ['side-arg', argument])]),
    ['status', at('status.json')], ['console', places.consolePath], ['qemu-log', at('qemu.log')], ['boot-timeout-ms', config.bootTimeoutMs],
  ];
}

/** In the background, for the next one. Whoever started us must not wait for it: it has none of our descriptors. */
function makeTemplateLater(request: CreateRequest, plan: MachinePlan): void {
  const main = process.argv[1] ?? '';
  const machine = { ...plan.machine, disks: plan.machine.disks.map(({ id, path, readOnly }) => ({ id, path, readOnly })) };
  spawn(process.execPath, ['--no-warnings', main, '--root', request.root, 'make-template', JSON.stringify(machine)], { detached: true, stdio: 'ignore', cwd: '/', env: {} }).unref();
}

/** Clones or boots, and is told CONFIGURED. A clone that does not come up is booted cold. */
async function startMachine(request: CreateRequest, plan: MachinePlan, config: RunvConfig, lines: (template: Template | undefined) => Line[]): Promise<Monitor> {
  const { stateDir } = placesOf(request.root, request.id);
  const path = join(stateDir, 'monitor.conf');
  const options = { detached: request.detached, readyTimeoutMs: config.bootTimeoutMs + 10_000 };
  const template = config.templates && isTemplatable(plan.machine) ? await findTemplate(config.templateDir, plan.machine) : undefined;
  if (template === undefined && config.templates && isTemplatable(plan.machine)) makeTemplateLater(request, plan);
  await writeFile(path, configText(lines(template)), { mode: 0o600 });
  if (template === undefined) return await launchMonitor(path, options);
  try {
    return await launchMonitor(path, { ...options, meanwhile: () => wakeClone(plan.machine.qmpPath) });
  } catch (error) {
    // A terminal has been handed over already, and its receiver takes only one.
    if (request.consoleSocket !== undefined) throw error;
    await writeFile(path, configText(lines(undefined)), { mode: 0o600 });
    return await launchMonitor(path, options);
  }
}

const hookState = (request: CreateRequest, spec: RuntimeSpec, pid: number, status: string): Record<string, unknown> => ({ ociVersion: spec.ociVersion ?? '1.0.2', id: request.id, status, pid, bundle: request.bundle, annotations: spec.annotations ?? {} });

async function build(request: CreateRequest, spec: RuntimeSpec, config: RunvConfig, cleanUp: (() => Promise<void> | void)[]): Promise<Monitor> {
  const { root, id, bundle } = request;
  const places = placesOf(root, id);
  checkProcess(spec.process);
  const terminal = spec.process.terminal === true;
  if (terminal && request.consoleSocket === undefined) throw new Failure('usage', 'cannot allocate tty if runv will detach without setting console socket');
  if (!terminal && request.consoleSocket !== undefined) throw new Failure('usage', 'cannot use console socket if runv will not detach or allocate tty');
  const state: ContainerState = {
    id, ociVersion: spec.ociVersion ?? '1.0.2', pid: 0, pidStart: '', bundle, rootfs: resolve(bundle, spec.root?.path ?? 'rootfs'), created: new Date().toISOString(),
    annotations: spec.annotations ?? {}, cgroups: [], paused: false, hooks: spec.hooks ?? {}, memoryBytes: 0, arg0: spec.process.args[0] ?? '',
  };
  writeState(root, state);
  cleanUp.push(() => rm(places.socketDir, { recursive: true, force: true }));
  await makePlaces(places, config);

  let netns = spec.linux?.namespaces?.find(({ type }) => type === 'network')?.path;
  let holder: Awaited<ReturnType<typeof newNetwork>> | undefined;
  if (!netns) {
    holder = await newNetwork();
    netns = holder.path;
  }
  try {
    for (const kind of ['prestart', 'createRuntime'] as const) await runHooks(kind, spec.hooks ?? {}, hookState(request, spec, holder?.pid ?? process.pid, 'creating'));
    const network = holder !== undefined && (spec.hooks?.prestart ?? []).length + (spec.hooks?.createRuntime ?? []).length === 0 ? undefined : await readNetwork(netns);
    const plan = await planMachine(spec, bundle, id, places, config, network);
    const cgroups = makeCgroups(cgroupPath(spec.linux?.cgroupsPath, id));
    cleanUp.push(() => removeCgroups(cgroups));
    limitCgroups(cgroups, spec.linux?.resources ?? {}, plan.machine.memoryBytes);
    await writeFile(join(places.stateDir, 'configure.bin'), plan.configure, { mode: 0o600 });
    await writeFile(join(places.stateDir, 'spawn.bin'), spawnPayload(spec.process), { mode: 0o600 });
    writeState(root, { ...state, cgroups });
    const monitor = await startMachine(request, plan, config, (template) => monitorLines(request, plan, template, config, { cgroups, terminal, netns, network }));
    cleanUp.push(() => { monitor.child.kill('SIGKILL'); });
    const pidStart = processStart(monitor.pid);
    if (pidStart === undefined) throw new Failure('machine', 'the monitor has ended');
    writeState(root, { ...state, cgroups, pid: monitor.pid, pidStart, memoryBytes: plan.machine.memoryBytes });
    return monitor;
  } finally {
    holder?.end();
  }
}

export async function createContainer(request: CreateRequest): Promise<Monitor> {
  const { root, id } = request;
  const spec = await readSpec(request.bundle);
  refuseImpossible(spec);
  guestDevices(spec);
  refuseGuestHooks(spec.hooks ?? {});
  const config = await readConfig(root);
  const directory = claim(root, id);
  const cleanUp: (() => Promise<void> | void)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    return await build(request, spec, config, cleanUp);
  } catch (error) {
    for (const step of cleanUp.reverse()) {
      try {
        await step();
      } catch {
        // The first failure is what is told; `delete --force` finds what is left.
      }
    }
    throw error;
  }
}
