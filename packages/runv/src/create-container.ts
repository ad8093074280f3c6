// The making of a container, for `create` and `run`: its record, cgroup, hooks, machine and monitor; all of it is taken away again when a part fails.
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cgroupPath, limitCgroups, makeCgroups, possibleCgroups, removeCgroups } from './cgroups.ts';
import { readConfig, type RunvConfig } from './config.ts';
import { Failure } from './failure.ts';
import { filesSpec } from './files-spec.ts';
import { guestHooks, runCreateHooks } from './hooks.ts';
import type { Monitor } from './launch.ts';
import { consoleLines, fatalLine, keepConsole, readConsole } from './machine/console.ts';
import { planFilesMachine, planMachine } from './machine-plan.ts';
import { newNetwork, readNetwork } from './network.ts';
import { isJoined, refuseHostNetwork, shareNetwork } from './network-sharing.ts';
import { placesOf } from './places.ts';
import { checkProcess, readSpec, type RuntimeSpec } from './spec.ts';
import { filesPayload, guestDevices, refuseImpossible, spawnPayload } from './spec-to-guest.ts';
import { makePlaces, startMachine, type CreateRequest } from './start-machine.ts';
import { claim, processStart, writeState, type ContainerState } from './state.ts';

const hookState = (request: CreateRequest, spec: RuntimeSpec, pid: number, status: string): Record<string, unknown> => ({ ociVersion: spec.ociVersion ?? '1.0.2', id: request.id, status, pid, bundle: request.bundle, annotations: spec.annotations ?? {} });

async function build(request: CreateRequest, spec: RuntimeSpec, config: RunvConfig, cleanUp: (() => Promise<void> | void)[]): Promise<Monitor> {
  const { root, id, bundle } = request;
  const places = placesOf(root, id);
  checkProcess(spec.process);
  // The container's first process is 1 where they run.
  const spawn = request.files === true ? filesPayload(true) : Buffer.concat([spawnPayload(spec.process), guestHooks(spec.hooks ?? {}, hookState(request, spec, 1, 'created'))]);
  const terminal = spec.process.terminal === true;
  if (terminal && request.consoleSocket === undefined) throw new Failure('usage', 'cannot allocate tty if runv will detach without setting console socket');
  if (!terminal && request.consoleSocket !== undefined) throw new Failure('usage', 'cannot use console socket if runv will not detach or allocate tty');
  const state: ContainerState = {
    id, ociVersion: spec.ociVersion ?? '1.0.2', pid: 0, pidStart: '', bundle, rootfs: resolve(bundle, spec.root?.path ?? 'rootfs'), created: new Date().toISOString(),
    annotations: spec.annotations ?? {}, cgroups: possibleCgroups(cgroupPath(spec.linux?.cgroupsPath, id)), paused: false, hooks: spec.hooks ?? {}, memoryBytes: 0, vcpus: 0, arg0: spec.process.args[0] ?? '',
    sockets: places.socketDir,
  };
  writeState(root, state);
  cleanUp.push(() => rm(places.socketDir, { recursive: true, force: true }));

  let netns = spec.linux?.namespaces?.find(({ type }) => type === 'network')?.path;
  const joined = isJoined(netns);
  let holder: Awaited<ReturnType<typeof newNetwork>> | undefined;
  if (!netns) {
    holder = await newNetwork();
    netns = holder.path;
  }
  try {
    if (joined) refuseHostNetwork(netns);
    const { prestart = [], createRuntime = [], createContainer: within = [] } = spec.hooks ?? {};
    await runCreateHooks(spec.hooks ?? {}, hookState(request, spec, holder?.pid ?? process.pid, 'creating'), netns);
    const isEmpty = holder !== undefined && prestart.length + createRuntime.length + within.length === 0;
    // Read beside the planning of everything else.
    const reading = isEmpty ? Promise.resolve(undefined) : readNetwork(netns, request.networkFd);
    reading.catch(() => undefined); // told where the plan awaits it
    await makePlaces(places, config);
    const plan = await (request.files === true ? planFilesMachine : planMachine)(spec, bundle, id, places, config, reading);
    const cgroups = makeCgroups(cgroupPath(spec.linux?.cgroupsPath, id));
    cleanUp.push(() => removeCgroups(cgroups));
    limitCgroups(cgroups, spec.linux?.resources ?? {}, plan.machine.memoryBytes);
    await writeFile(join(places.stateDir, 'spawn.bin'), spawn, { mode: 0o600 });
    writeState(root, { ...state, cgroups });
    const monitor = await startMachine({ request, spec, plan, config, cgroups, terminal, netns, joined });
    cleanUp.push(() => { monitor.child.kill('SIGKILL'); });
    // The monitor has read it, and files of the container's that are for nobody else may be in it.
    await rm(join(places.stateDir, 'configure.bin'), { force: true });
    const pidStart = processStart(monitor.pid);
    if (pidStart === undefined) throw new Failure('machine', 'the monitor has ended');
    writeState(root, { ...state, cgroups, pid: monitor.pid, pidStart, memoryBytes: plan.machine.memoryBytes, vcpus: plan.machine.vcpus });
    if (joined) await shareNetwork(root, id, netns);
    return monitor;
  } finally {
    holder?.end();
  }
}

export async function createContainer(request: CreateRequest): Promise<Monitor> {
  const { root, id } = request;
  const whole = await readSpec(request.bundle);
  const spec = request.files === true ? filesSpec(whole, existsSync) : whole;
  refuseImpossible(spec);
  guestDevices(spec);
  const config = await readConfig(root);
  const directory = claim(root, id);
  const cleanUp: (() => Promise<void> | void)[] = [() => rm(directory, { recursive: true, force: true })];
  try {
    return await build(request, spec, config, cleanUp);
  } catch (error) {
    const console = await readConsole(placesOf(root, id).consolePath);
    for (const step of cleanUp.reverse()) {
      try {
        await step();
      } catch {
        // The first failure is what is told; `delete --force` finds what is left.
      }
    }
    if (console === undefined) throw error;
    if (config.consoleDir !== '') await keepConsole(console, config.consoleDir, id);
    throw withReason(error, console.toString('latin1'));
  }
}

/** A failure of the machine, with the line of the console that tells why, where it is not told yet. */
function withReason(error: unknown, console: string): unknown {
  const line = fatalLine(consoleLines(console));
  if (!(error instanceof Failure) || error.code !== 'machine' || line === undefined || error.message.includes(line)) return error;
  return new Failure('machine', `${error.message}; the guest's kernel said: ${line}`, { cause: error, retryable: error.retryable });
}
