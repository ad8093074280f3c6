// Starts a container: files, network, spec, stdio, task. A start has an id that stands in the task itself, so whatever moment the agent
// dies at, the next one sees whether it was done.
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError } from '@pouch/containerd';
import { isMachine, type Container, type NetworkAttachment } from '@pouch/domain';
import { runFiles } from '../machines/run-files.ts';
import { noNetwork, type Rooms } from '../rooms.ts';
import { ImpossibleError, isPassing, startFailure } from './failures.ts';
import { layersOf } from './layered-files.ts';
import { gone } from './remove-gone.ts';
import { removeTask } from './remove.ts';
import type { NetworkOfSpec } from './spec-maker.ts';
import { clearBundle, clearStaleStart } from './stale-start.ts';
import { prepareStdio } from './stdio.ts';

const halfMadeMs = 2_000;
const halfMadeLookMs = 100;

export interface StartOf {
  readonly startId: string;
  readonly byPolicy: boolean;
}

export async function start(rooms: Rooms, container: Container, which: StartOf): Promise<void> {
  await rooms.starts.during(container.id, which.startId, async () => {
    try {
      await startAnew(rooms, container, which);
    } catch (error) {
      await startFailed(rooms, container, which, error);
    }
  });
}

/** Goes on with a start whose task was there when the agent came back. */
export async function adopt(rooms: Rooms, container: Container, which: StartOf): Promise<void> {
  const { id, spec } = container;
  await rooms.starts.during(id, which.startId, async () => {
    try {
      const saved = rooms.store.run(id);
      const known = saved?.startId === which.startId ? saved : null;
      const status = rooms.tasks.get(id)?.status;
      // A run is noted before its task is started. Not noted: nothing has run in it yet, its network may be unfinished, and where it has ended
      // the runtime was cut short while it made it. As if it had never been.
      if (known === null && (status === 'stopped' || (spec.network.mode === 'bridge' && status === 'created'))) {
        await clearRun(rooms, container);
        await startAnew(rooms, container, which);
      } else {
        await run(rooms, container, which, known?.network ?? noNetwork, known?.startedAtMs);
      }
    } catch (error) {
      await startFailed(rooms, container, which, error);
    }
  });
}

async function startAnew(rooms: Rooms, container: Container, which: StartOf): Promise<void> {
  const { id, spec } = container;
  // They have its root mounted, or hold the mounts of its last run.
  await rooms.copies.breakOff(id);
  // Tried before: by an agent that died, or by a call that was given up.
  const first = rooms.attempts.note(id, `${which.startId}:start`, rooms.now());
  if (!first && (await clearStaleStart(rooms, id))) return; // it is adopted
  const noted = rooms.store.run(id);
  if (!first && noted?.startId === which.startId) {
    // Its run was noted, so it may have run, and its task is gone since (the host was booted anew): told as a run whose end nobody saw, never done twice.
    void rooms.report(id, { type: 'ReportStarted', byPolicy: which.byPolicy, run: { startId: which.startId, startedAtMs: noted.startedAtMs, pid: 0, network: noted.network } });
    return;
  }
  if (spec.network.mode === 'bridge') await rooms.network.prepare(container);
  // The namespace is there: its network and the task are made side by side, and only the start waits for both. A machine is told what its network and
  // its files are as it is made.
  const connecting = connect(rooms, container);
  const [connected, made] = await Promise.allSettled([connecting, makeTask(rooms, container, which.startId, isMachine(spec) ? connecting : null)]);
  if (connected.status === 'rejected') throw connected.reason;
  if (made.status === 'rejected') throw made.reason;
  await run(rooms, container, which, connected.value);
}

/** `after`: what the runtime must find done. */
async function makeTask(rooms: Rooms, container: Container, startId: string, after: Promise<unknown> | null): Promise<void> {
  const { containerd, tasks, layout, specs } = rooms;
  const { id } = container;
  const [mounts] = await Promise.all([rooms.rootfs.mounts(id), rooms.secrets.place(container)]);
  const network = networkOf(rooms, container);
  const [made, stdio] = await Promise.all([specs.make(container, { layers: layersOf(mounts), network }), prepareStdio(layout, rooms.sys, container, startId), joinMachine(rooms, container)]);
  await specs.ensureWritten(id, made.text);
  await after;
  const { pid } = await containerd.tasks.create({ containerId: id, rootfs: [...mounts], ...stdio });
  tasks.set(id, { startId, pid, status: 'created', exit: null, oomKilled: false });
}

/** The container's network, and the files that tell of it. */
async function connect(rooms: Rooms, container: Container): Promise<NetworkAttachment> {
  const attachment = container.spec.network.mode === 'bridge' ? (await rooms.network.attach(container)).attachment : noNetwork;
  await rooms.specs.writeFiles(container, attachment);
  return attachment;
}

/** Starts the task, if that is still to be done, and reports the run. */
async function run({ containerd, tasks, store, report, logger, now }: Rooms, { id }: Container, { startId, byPolicy }: StartOf, network: NetworkAttachment, knownMs?: number): Promise<void> {
  let startedAtMs = knownMs ?? now();
  if (tasks.get(id)?.status === 'created') {
    startedAtMs = now(); // before the call, so that no run ends before it began
    store.saveRun({ containerId: id, startId, startedAtMs, network });
    const { pid } = await containerd.tasks.start(id);
    tasks.update(id, { status: 'running', pid });
  }
  const pid = tasks.get(id)?.pid ?? 0;
  void report(id, { type: 'ReportStarted', byPolicy, run: { startId, startedAtMs, pid, network } });
  logger.info({ containerId: id, startId, pid, byPolicy }, 'container started');
}

async function startFailed(rooms: Rooms, { id }: Container, { startId }: StartOf, error: unknown): Promise<void> {
  // Not known whether it was done, or done before a crash: the task itself tells, and the start goes on from there.
  if (isPassing(error) || isBeingMade(error)) {
    await rooms.tasks.refresh(id);
    if (isBeingMade(error)) await discardHalfMade(rooms, id);
    if (rooms.tasks.get(id) === null) await clearBundle(rooms, id, error);
    throw error;
  }
  const { exitCode, code, message } = startFailure(error);
  rooms.logger.warn({ containerId: id, startId, exitCode, err: error }, 'container could not be started');
  await Promise.all([removeTask(rooms, id), rooms.network.detach(id)]);
  await rooms.secrets.clear(id);
  await rooms.machines?.takeConsole(id, runFiles(rooms.layout.machines, rooms.layout.container(id), id).kept).catch((cause: unknown) => rooms.logger.warn({ containerId: id, err: cause }, 'the console of a machine could not be kept'));
  await rooms.layout.removeIo(id);
  void rooms.report(id, { type: 'ReportStartFailed', startId, exitCode, code, message });
}

/** containerd has this task already, or is still making or undoing it for an agent that died. */
function isBeingMade(error: unknown): boolean {
  return isContainerdError(error, 'already-exists') || (isContainerdError(error) && /failed to start shim: mkdir .*: file exists|container with given ID already exists/.test(error.detail));
}

/**
 * A containerd that was killed while it made a task keeps the shim of it for ever: it lists no task and makes no other one. What is being made
 * at this moment comes to be within this time; what does not is taken away, for nothing has run in it yet.
 */
async function discardHalfMade({ tasks, containerd, logger }: Rooms, id: string): Promise<void> {
  for (let waited = 0; waited < halfMadeMs && tasks.get(id) === null; waited += halfMadeLookMs) {
    await delay(halfMadeLookMs);
    await tasks.refresh(id);
  }
  if (tasks.get(id) !== null) return;
  logger.warn({ containerId: id }, 'a task that was left half made is removed');
  await gone(containerd.tasks.delete(id));
}

function networkOf(rooms: Rooms, { id, spec: { network } }: Container): NetworkOfSpec {
  switch (network.mode) {
    case 'none':
      return { kind: 'new' };
    case 'host':
      return { kind: 'host' };
    case 'container':
      return ofOther(rooms, network.containerId);
    case 'bridge':
      return { kind: 'prepared', path: rooms.network.namespacePath(id) };
  }
}

/** The namespace of another container's first process; it lives on as long as either of them. */
function ofOther({ tasks, book }: Rooms, otherId: string): NetworkOfSpec {
  const other = tasks.get(otherId);
  if (other === null || other.status === 'stopped' || other.pid === 0) {
    const known = book.local(otherId);
    if (known === null || known.status === 'removed') throw new ImpossibleError('not-found', `no such container on this host: ${otherId.slice(0, 12)}, whose network was to be joined`);
    throw new ImpossibleError('conflict', `cannot join network of a non running container: ${otherId}`);
  }
  return { kind: 'container', path: `/proc/${other.pid}/ns/net` };
}

/** A machine takes all traffic of its network until somebody joins it. */
async function joinMachine({ machines, book }: Rooms, { spec }: Container): Promise<void> {
  if (spec.network.mode !== 'container' || isMachine(spec)) return;
  const other = book.local(spec.network.containerId);
  if (other !== null && isMachine(other.spec)) await machines?.shareNetwork(other.id);
}

/** What an ended or vanished task leaves: its record in containerd, its network, its FIFOs. */
export async function clearRun(rooms: Rooms, container: Container): Promise<void> {
  const detached = container.spec.network.mode === 'bridge' ? rooms.network.detach(container.id, { shared: isJoined(rooms, container.id) }) : Promise.resolve();
  await Promise.all([removeTask(rooms, container.id), detached]);
  await rooms.secrets.clear(container.id);
  if (container.spec.openStdin) await rooms.layout.removeIo(container.id);
}

/** Whether another container runs in this one's network, which then outlives it. */
function isJoined({ tasks, book }: Rooms, id: string): boolean {
  return tasks.ids().some((other) => {
    const network = book.local(other)?.spec.network;
    return network?.mode === 'container' && network.containerId === id;
  });
}
