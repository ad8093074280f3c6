// Makes a container be there: image, snapshot, generated files and containerd's record with its spec. It starts nothing.
import { isContainerdError } from '@pouch/containerd';
import { explainMachineMisfit, isMachine, type Container } from '@pouch/domain';
import { messageOf } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { ImpossibleError, isPassing } from './failures.ts';
import { layersOf } from './layered-files.ts';
import { removeTraces } from './remove.ts';

export async function create(rooms: Rooms, container: Container): Promise<void> {
  const { id, spec } = container;
  const { report, logger, stopping } = rooms;
  const misfit = explainMisfit(rooms, container);
  if (misfit !== null) {
    void report(id, { type: 'ReportRejected', ...misfit });
    return;
  }
  try {
    const unable = isMachine(spec) ? explainMachineMisfit(spec) : null;
    if (unable !== null) throw new ImpossibleError('bad-parameter', `${unable.field}: ${unable.reason}`);
    const [{ chainId }] = await Promise.all([rooms.images.ensure(spec.image, container.status === 'assigned' ? container.imageHolders : []), isMachine(spec) ? rooms.machines?.ensureKernel(spec) : undefined, rooms.secrets.fetch(container)]);
    const prepared = rooms.rootfs.prepare(id, chainId);
    const layers = rooms.rootfs.imageLayers(chainId) ?? layersOf(await prepared);
    await both(prepared, both(recordWithFiles(rooms, container, layers), rooms.volumes.make(container, layers)));
    void report(id, { type: 'ReportCreated' });
    logger.info({ containerId: id }, 'container created');
  } catch (error) {
    // A copier that was ended with its agent says nothing of the container: the next one makes it.
    if (isPassing(error) || stopping.active) throw error;
    logger.warn({ containerId: id, err: error }, 'container could not be created');
    await removeTraces(rooms, id);
    const code = error instanceof ImpossibleError ? error.code : ((error as { code?: unknown }).code === 'not-found' ? 'not-found' : 'create-failed');
    void report(id, { type: 'ReportCreateFailed', code, message: messageOf(error) });
  }
}

/** The scheduler asked the same before; the host is the one that knows. */
function explainMisfit({ config, admission }: Rooms, container: Container): { code: string; message: string } | null {
  const { spec } = container;
  const misfit = admission.admit(container);
  if (misfit !== null) return { code: 'no-fit', message: misfit };
  if (config.runtimes.some(({ name }) => name === spec.runtime)) return null;
  return { code: 'unknown-runtime', message: `it has no runtime ${JSON.stringify(spec.runtime)}; it has ${config.runtimes.map(({ name }) => name).join(', ')}` };
}

/** Waits for both also when one fails, so that nothing is still being made while the traces are removed. */
async function both(one: Promise<unknown>, other: Promise<unknown>): Promise<void> {
  const failed = (await Promise.allSettled([one, other])).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function recordWithFiles(rooms: Rooms, container: Container, layers: readonly string[]): Promise<void> {
  const files = rooms.layout.makeContainer(container.id).then(() => rooms.specs.writeFiles(container, null));
  const record = rooms.specs.make(container, { layers, network: rooms.specs.networkAtCreate(container) }).then((made) => makeRecord(rooms, container, made));
  await both(files, record);
}

/** The record stands at once as it will be started, so that a start need not write it again. */
async function makeRecord(rooms: Rooms, { id, spec }: Container, made: { readonly text: string }): Promise<void> {
  const { containerd, specs } = rooms;
  const record = {
    id, labels: { 'io.pouch.container': id }, image: spec.image.name ?? spec.image.id, runtime: specs.runtime(spec.runtime),
    spec: specs.any(made.text), snapshotter: containerd.snapshots.snapshotter, snapshotKey: id,
  };
  try {
    await containerd.containers.create(record);
  } catch (error) {
    if (!isContainerdError(error, 'already-exists')) throw error;
    await containerd.containers.delete(id);
    await containerd.containers.create(record);
  }
  specs.written(id, made.text);
}
