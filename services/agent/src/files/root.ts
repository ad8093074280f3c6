// How the files of a container are reached just now: the root of its process while it runs, else its snapshot and its mounts, which the helper mounts where
// nobody else sees them. Decides nothing about paths.
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError, type Mount } from '@pouch/containerd';
import { isMachine, volumesOf, type Container } from '@pouch/domain';
import type { FilesBind, FilesRoot } from '@pouch/native';
import { OperatingError } from '@pouch/process';
import { makeSources } from '../containers/bind-sources.ts';
import type { Rooms } from '../rooms.ts';
import { overlayOptions } from './overlay-options.ts';

/** A start that is under way is waited for so long. */
const startWaitMs = 10_000;
const startLookMs = 20;

/** The container, with what its files can be reached by. Refuses where there is none that can be copied from or to. */
export async function rootOf(rooms: Rooms, id: string): Promise<{ readonly container: Container; readonly root: FilesRoot }> {
  const container = await settled(rooms, id);
  if (isMachine(container.spec)) return { container, root: machineRoot(rooms, container) };
  if (runs(rooms, id)) return { container, root: runningRoot(rooms, container) };
  await makeSources(container.spec);
  return { container, root: await mountedRoot(rooms, container) };
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

/** Whether a container's snapshot is free to be mounted: nothing has it mounted, or is about to. */
export function mayMount(rooms: Rooms, id: string): boolean {
  return rooms.starts.of(id) === undefined && !runs(rooms, id);
}

function runs({ tasks }: Rooms, id: string): boolean {
  const status = tasks.get(id)?.status;
  return status === 'running' || status === 'paused';
}

async function settled(rooms: Rooms, id: string): Promise<Container> {
  const { book, starts, now } = rooms;
  for (const untilMs = now() + startWaitMs; starts.of(id) !== undefined && !runs(rooms, id) && now() < untilMs;) await delay(startLookMs);
  const container = book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  if (container.status === 'assigned') throw new OperatingError('conflict', `Container ${id} is being created: try again`);
  return container;
}

/** Only its guest reads a machine's disk: the host's kernel mounts no file system that a container can write to as it likes. */
function machineRoot({ tasks, config, layout }: Rooms, { id, name, spec: { runtime } }: Container): FilesRoot {
  const status = tasks.get(id)?.status;
  if (status === 'paused') throw new OperatingError('conflict', `the files of ${name} are on a disk of its virtual machine, which is paused: unpause it first`);
  if (status !== 'running') throw new OperatingError('conflict', `the files of ${name} are on a disk of its virtual machine, which only its own kernel reads: start it first`);
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
  const [mount, ...more] = await rooms.rootfs.mounts(id);
  if (mount === undefined || more.length > 0 || (mount.type !== 'overlay' && mount.type !== 'bind')) throw new OperatingError('unsupported', `files of a container that does not run cannot be copied: the root of ${id} is no overlay`);
  const { data, directory } = optionsOf(mount);
  return {
    kind: 'mount', type: mount.type, source: mount.source, data, directory, target: rooms.layout.container(id), readonly: spec.readonlyRootfs, binds: await bindsOf(rooms, container),
  };
}

function optionsOf(mount: Mount): { data: string; directory: string } {
  return mount.type === 'bind' ? { data: '', directory: '/' } : overlayOptions(mount.options);
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
