// Boots the machine of a container that does not run, for its files only: runv gets the bundle that a start would have, with the container's root mounted where
// nobody else sees it. Decides nothing about when, and starts no program of the container's.
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container } from '@pouch/domain';
import { FilesHelper } from '@pouch/native';
import { OperatingError } from '@pouch/process';
import { layersOf } from '../containers/layered-files.ts';
import type { Layout } from '../containers/layout.ts';
import type { Machines } from '../machines/machines.ts';
import type { Rooms } from '../rooms.ts';
import { mountOf } from './root-mount.ts';

/** Slave: what the host unmounts goes here, too, so that nothing is held. What is mounted here goes with the last process that sees it. */
const script = 'cd "$1" && mount -t "$2" -o "$3" "$4" "$5" && shift 5 && cd / && exec "$@"';

export async function bootMachine({ rootfs, specs, layout, config }: Rooms, container: Container): Promise<FilesHelper> {
  const { id, spec } = container;
  const [mounts, bundle] = [await rootfs.mounts(id), layout.filesBundle(id)];
  const { type, source, data, directory } = mountOf(id, mounts);
  const { text } = await specs.make(container, { layers: layersOf(mounts), network: { kind: 'new' } });
  const target = join(bundle, 'rootfs');
  await mkdir(target, { recursive: true, mode: 0o700 });
  await writeFile(join(bundle, 'config.json'), text, { mode: 0o600 });
  const mount = type === 'bind' ? ['none', 'bind'] : [type, data];
  const runv = config.runtimes.find(({ name }) => name === spec.runtime)?.path;
  if (runv === undefined) throw new OperatingError('unavailable', `the runtime ${spec.runtime} is not on this host any more`);
  const words = ['--mount', '--propagation', 'slave', '/bin/sh', '-c', script, 'sh', directory, ...mount, source, target, runv, '--root', layout.machines, 'hold-files', '--bundle', bundle, id];
  return new FilesHelper({ kind: 'program', path: 'unshare', args: () => words, searchPath: config.path }, { writing: true });
}

/** What an agent that died, or one that was ended by force, has left of such a machine. The bundle is there before the machine and goes last. */
export async function clearMachine(machines: Machines | null, layout: Layout, id: string): Promise<void> {
  if (machines === null) return;
  const bundle = layout.filesBundle(id);
  if (!(await stat(bundle).then(() => true, () => false))) return;
  await machines.endForFiles(id);
  await rm(bundle, { recursive: true, force: true });
}
