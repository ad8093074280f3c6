// `docker cp` on the host: looks at, reads and writes the files of one container, through a helper that reaches nothing else and has an owner here until it
// is gone. Nothing is kept whole; a client or container that goes ends the helper.
import type { CopyParams, HostPipes, PathStat } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import { FilesHelper, FilesOp } from '@pouch/native';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { copyFailure } from './failures.ts';
import { askedPath } from './names.ts';
import { pathStat, readFiles } from './read.ts';
import { isFree, rootOf, stillThere, type Reach } from './root.ts';
import { bootMachine } from './boot-machine.ts';
import { beginExtraction, extract } from './write.ts';

export async function statPath(rooms: Rooms, asked: CopyParams): Promise<PathStat> {
  const path = askedPath(asked.path);
  return await withHelper(rooms, asked, { writing: false, signal: null }, async (helper) => {
    await helper.send(FilesOp.stat, Buffer.from(path));
    return pathStat(path, await helper.expectEntry(FilesOp.found));
  });
}

export async function readFrom(rooms: Rooms, asked: HostPipes['container.read-files']['params'], pipe: ServerPipe): Promise<Record<string, never>> {
  const path = askedPath(asked.path);
  const { containerId, actor } = asked;
  await withHelper(rooms, asked, { writing: false, signal: pipe.signal }, async (helper) => {
    rooms.logger.info({ containerId, path, actor }, 'files are copied from a container');
    await readFiles(helper, path, pipe, pipe.signal);
  });
  return {};
}

export async function writeTo(rooms: Rooms, asked: HostPipes['container.write-files']['params'], pipe: ServerPipe): Promise<Record<string, never>> {
  const path = askedPath(asked.path);
  const { containerId, actor, noOverwriteDirNonDir, ownedByUser } = asked;
  await withHelper(rooms, asked, { writing: true, signal: pipe.signal }, async (helper, container) => {
    const owner = ownedByUser && container.spec.user !== '' ? await rooms.specs.owner(container) : null;
    await beginExtraction(helper, { path, noOverwriteDirNonDir, owner });
    rooms.logger.info({ containerId, path, actor }, 'files are copied to a container');
    pipe.accept();
    // An archive that is refused half-way must not take the pipe along: its answer goes through it.
    await extract(helper, pipe.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>);
  });
  return {};
}

interface Purpose {
  readonly writing: boolean;
  /** Aborted when whoever asked has gone. */
  readonly signal: AbortSignal | null;
}

/** Has a helper in the container's root for as long as `work` takes, and no longer; a machine that does not run is booted for it. */
async function withHelper<T>(rooms: Rooms, asked: CopyParams, purpose: Purpose, work: (helper: FilesHelper, container: Container) => Promise<T>): Promise<T> {
  const { containerId: id, calledAs, path } = asked;
  const reach = await rootOf(rooms, id);
  if (!reach.atRest || reach.root.kind !== 'program') return await inRoot(rooms, asked, reach, purpose, work);
  requireFree(rooms, reach);
  const leave = await rooms.copies.machines.take(id, () => bootMachine(rooms, reach.container)).catch((error: unknown) => { throw copyFailure(error, { path, container: calledAs }); });
  try {
    return await inRoot(rooms, asked, reach, purpose, work);
  } finally {
    leave();
  }
}

/** To be asked in one go with what is begun then: a start that begins after it breaks that off, and one that has begun is seen. */
function requireFree(rooms: Rooms, { container: { id }, atRest }: Reach): void {
  if (atRest && !isFree(rooms, id)) throw new OperatingError('conflict', `Container ${id} has just been started: try again`);
}

async function inRoot<T>(rooms: Rooms, { containerId: id, calledAs, path }: CopyParams, reach: Reach, { writing, signal }: Purpose, work: (helper: FilesHelper, container: Container) => Promise<T>): Promise<T> {
  const { container, root } = reach;
  requireFree(rooms, reach);
  const helper = rooms.copies.begin(id, () => new FilesHelper(root, { writing }));
  const gone = (): void => { void helper.end(); };
  signal?.addEventListener('abort', gone, { once: true });
  try {
    await helper.expect(FilesOp.opened);
    if (!(await stillThere(rooms, id, root))) throw new OperatingError('conflict', `Container ${id} has just ended: try again`);
    await helper.send(FilesOp.go);
    return await work(helper, container);
  } catch (error) {
    signal?.throwIfAborted();
    if (rooms.copies.wasBrokenOff(helper)) throw new OperatingError('conflict', `Container ${id} was started or removed while files were copied: copy again`, { cause: error });
    throw copyFailure(error, { path, container: calledAs });
  } finally {
    signal?.removeEventListener('abort', gone);
    await rooms.copies.end(id, helper);
  }
}
