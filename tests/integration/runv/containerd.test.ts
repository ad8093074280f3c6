// containerd's own shim drives runv: a real snapshot, exec, kill, exit codes, nothing left behind.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { inspectImage, load, runcOptionsAny, runtimeSpecAny, type ImageDetails } from '@pouch/containerd';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { createTask, processOf, removeContainer } from '../containerd/spec.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const skip = containerdMissing() || (await guestMissing());

describe('runv under containerd', { skip, timeout: 240_000 }, () => {
  let containerd: TestContainerd;
  let image: ImageDetails;
  let kit: GuestKit;
  let root: string;

  before(async () => {
    kit = await GuestKit.make();
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    containerd = await startContainerd();
    // The shim puts the namespace behind the root that it is given.
    root = join(kit.directory, 'run', 'test');
    await mkdir(root, { recursive: true });
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', templates: false, memoryBytes: 192 << 20 }));
    const busybox = await busyboxImage();
    await load(containerd.client, Readable.from([await dockerArchive([busybox])]));
    image = await inspectImage(containerd.client, busybox.reference);
  });
  after(async () => {
    await containerd?.stop();
    await kit?.remove();
  });

  async function container(args: string[]): Promise<string> {
    const { client } = containerd;
    const id = `v-${randomUUID()}`;
    await client.leases.with(async (lease) => {
      await client.snapshots.prepare(id, image.chainId, { lease });
      await client.containers.create({
        id, snapshotter: client.snapshots.snapshotter, snapshotKey: id, labels: {}, runtime: { name: 'io.containerd.runc.v2', options: runcOptionsAny({ binaryName: runv, root: join(kit.directory, 'run') }) },
        spec: runtimeSpecAny('Spec', {
          ociVersion: '1.0.2', process: processOf(args), root: { path: 'rootfs' }, hostname: 'test',
          mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }, { destination: '/dev', type: 'tmpfs', source: 'tmpfs' }],
          linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })), cgroupsPath: `/pouch-test-${id}` },
        }),
      });
    });
    return id;
  }

  test('create, start, exec, kill, exit codes, delete', async () => {
    const { client } = containerd;
    for (const [args, code] of [[['sh', '-c', 'exit 42'], 42], [['sleep', '1000'], 137]] as const) {
      const id = await container([...args]);
      await createTask(client, id);
      assert.equal((await client.tasks.get(id)).status, 'CREATED');
      const waiting = client.tasks.wait(id);
      await client.tasks.start(id);
      if (code === 137) {
        await client.tasks.exec({ containerId: id, execId: 'e1', process: processOf(['sh', '-c', 'exit 7']) });
        const execWait = client.tasks.wait(id, { execId: 'e1' });
        await client.tasks.startExec(id, 'e1');
        assert.equal((await execWait).exitStatus, 7);
        await client.tasks.kill(id, 9);
      }
      assert.equal((await waiting).exitStatus, code);
      await client.tasks.delete(id);
      await removeContainer(client, id);
    }
    assert.deepEqual(await readdir(root), ['runv.json']);
  });
});
