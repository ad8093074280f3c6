// A small OCI runtime spec for containerd's tests: no network, no cgroup limits, oom score untouched so that it runs on nested machines.
import { randomUUID } from 'node:crypto';
import { isContainerdError, runcOptionsAny, runtimeSpecAny, type Containerd, type ImageDetails, type TaskStdio } from '@pouch/containerd';

export function processOf(args: string[], more: object = {}): object {
  return { user: { uid: 0, gid: 0 }, args, env: ['PATH=/bin'], cwd: '/', ...more };
}

/** Makes snapshot and container record; returns their id. `binaryName`: the OCI runtime. */
export async function createContainer(client: Containerd, image: ImageDetails, args: string[], process: object = {}, shim = 'io.containerd.runc.v2', { binaryName = 'runc', root, hooks }: { binaryName?: string; root?: string; hooks?: object } = {}): Promise<string> {
  const id = `t-${randomUUID()}`;
  await client.leases.with(async (lease) => {
    await client.snapshots.prepare(id, image.chainId, { lease });
    await client.containers.create({
      id, snapshotter: client.snapshots.snapshotter, snapshotKey: id, labels: { purpose: 'test' },
      runtime: { name: shim, options: runcOptionsAny({ binaryName, ...(root === undefined ? {} : { root }) }) },
      spec: runtimeSpecAny('Spec', {
        ociVersion: '1.0.2', process: processOf(args, process), root: { path: 'rootfs' }, hostname: 'test', ...(hooks === undefined ? {} : { hooks }),
        mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }, { destination: '/dev', type: 'tmpfs', source: 'tmpfs' }, { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666', 'mode=0620'] }],
        linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })), cgroupsPath: `/pouch-test-${id}` },
      }),
    });
  });
  return id;
}

export async function createTask(client: Containerd, id: string, stdio: TaskStdio = {}): Promise<void> {
  await client.tasks.create({ containerId: id, rootfs: await client.snapshots.mounts(id), ...stdio });
}

/** Removes the record and the snapshot of a container whose task is deleted. */
export async function removeContainer(client: Containerd, id: string): Promise<void> {
  await client.containers.delete(id);
  await removeSnapshot(client, id);
}

/** Garbage collection may have been faster, since nothing refers to it any more. */
export async function removeSnapshot(client: Containerd, name: string): Promise<void> {
  await client.snapshots.remove(name).catch((error: unknown) => {
    if (!isContainerdError(error, 'not-found')) throw error;
  });
}

/** Removes whatever is left of a container: its test may have got any distance, so each step may find its work done. */
export async function endContainer(client: Containerd, id: string): Promise<void> {
  await client.tasks.kill(id, 9, { all: true }).catch(() => undefined);
  await client.tasks.wait(id, { timeoutMs: 10_000 }).catch(() => undefined);
  await client.tasks.delete(id).catch(() => undefined);
  await removeContainer(client, id);
}
