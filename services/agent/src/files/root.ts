// How the files of a container are reached just now: the root of its process while it runs, else its snapshot and its mounts, which the helper mounts where
// nobody else sees them; those of a machine by its guest, which is booted for it where it does not run. Decides nothing about paths.
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError } from '@pouch/containerd';
import { isMachine, volumesOf, type Container } from '@pouch/domain';
import type { FilesBind, FilesRoot } from '@pouch/native';
import { OperatingError } from '@pouch/process';
import { makeSources } from '../containers/bind-sources.ts';
import type { Rooms } from '../rooms.ts';
import { mountOf } from './root-mount.ts';

/** A start or an end that is under way is waited for so long. */
const passingWaitMs = 10_000;
const passingLookMs = 20;

export interface Reach {
  readonly container: Container;
  readonly root: FilesRoot;
  /** The container does not run, and what reaches its files must end before it does. */
  readonly atRest: boolean;
}

/** The container, with what its files can be reached by. Refuses where there is none that can be copied from or to. */
export async function rootOf(rooms: Rooms, id: string): Promise<Reach> {
  const container = await settled(rooms, id);
  if (isMachine(container.spec)) return { container, root: machineRoot(rooms, container), atRest: !runs(rooms, id) };
  if (runs(rooms, id)) return { container, root: runningRoot(rooms, container), atRest: false };
  await makeSources(container.spec);
  return { container, root: await mountedRoot(rooms, container), atRest: true };
}

/** Whether `root` still is what it was when it was looked for. To be asked once the helper has opened it, and without a pause after that. */
export async function stillThere({ containerd }: Rooms, id: string, root: FilesRoot): Promise<boolean> {
  if (root.kind !== 'process') return true; // a start breaks it off, and a machine's end ends it
  try {
    const { pid, status } = await containerd.tasks.get(id);
    return pid === root.pid && (status === 'RUNNING' || status === 'PAUSED' || status === 'PAUSING');
  } catch (error) {
    if (isContainerdError(error, 'not-found')) return false;
    throw error;
  }
}

/** Whether a container's snapshot, or its machine's disk, is free: nothing has it, or is about to. */
export function isFree(rooms: Rooms, id: string): boolean {
  return rooms.starts.of(id) === undefined && !runs(rooms, id) && !endsAsMachine(rooms, id);
}

/** Its task has ended and is not cleared up yet: the machine may still have its disk. */
function endsAsMachine({ book, tasks }: Rooms, id: string): boolean {
  const container = book.local(id);
  return tasks.get(id) !== null && container !== null && isMachine(container.spec);
}

function runs({ tasks }: Rooms, id: string): boolean {
  const status = tasks.get(id)?.status;
  return status === 'running' || status === 'paused';
}

async function settled(rooms: Rooms, id: string): Promise<Container> {
  const { book, starts, now } = rooms;
  const passing = (): boolean => !runs(rooms, id) && (starts.of(id) !== undefined || endsAsMachine(rooms, id));
  for (const untilMs = now() + passingWaitMs; passing() && now() < untilMs;) await delay(passingLookMs);
  const container = book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  if (container.status === 'assigned') throw new OperatingError('conflict', `Container ${id} is being created: try again`);
  return container;
}

/** Only its guest reads a machine's disk: the host's kernel mounts no file system that a container can write to as it likes. */
function machineRoot({ tasks, config, layout }: Rooms, { id, name, spec: { runtime } }: Container): FilesRoot {
  if (tasks.get(id)?.status === 'paused') throw new OperatingError('conflict', `the files of ${name} are on a disk of its virtual machine, which is paused: unpause it first`);
  const path = config.runtimes.find((one) => one.name === runtime)?.path ?? '';
  return { kind: 'program', path, args: (way) => ['--root', layout.machines, 'files', way, id], searchPath: config.path };
}

function runningRoot({ tasks }: Rooms, { id }: Container): FilesRoot {
  const pid = tasks.get(id)?.pid ?? 0;
  if (pid <= 0) throw new OperatingError('conflict', `Container ${id} has just ended: try again`);
  return { kind: 'process', pid };
}

async function mountedRoot(rooms: Rooms, container: Container): Promise<FilesRoot> {
  const { id, spec } = container;
  return { kind: 'mount', ...mountOf(id, await rooms.rootfs.mounts(id)), target: rooms.layout.container(id), readonly: spec.readonlyRootfs, binds: await bindsOf(rooms, container) };
}

/** Directories of the host, volumes, and the generated files, unless something else is mounted there. A tmpfs lives only while its container runs. */
async function bindsOf({ layout, volumes }: Rooms, container: Container): Promise<FilesBind[]> {
  const { id, spec } = container;
  const binds: FilesBind[] = spec.mounts.flatMap((mount) => (mount.type === 'bind' ? [{ source: mount.source, target: mount.target, readonly: mount.readonly, recursive: mount.recursive }] : []));
  for (const { name, mount } of volumesOf(id, spec.mounts)) binds.push({ source: volumes.path(container, name), target: mount.target, readonly: mount.readonly, recursive: true });
  const { hostsPath, hostnamePath, resolvConfPath } = layout.generated(spec.network.mode === 'container' ? spec.network.containerId : id);
  const generated = [[hostsPath, '/etc/hosts'], [hostnamePath, '/etc/hostname'], [resolvConfPath, '/etc/resolv.conf']] as const;
  for (const [source, target] of generated) {
    const taken = spec.mounts.some((mount) => mount.target === target);
    if (!taken && await stat(source).then(() => true, () => false)) binds.push({ source, target, readonly: false, recursive: false });
  }
  // What is mounted below another goes over it.
  const depth = ({ target }: FilesBind): number => target.split('/').length;
  return binds.toSorted((one, other) => depth(one) - depth(other));
}
