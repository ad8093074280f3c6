// Our shim starts runc's containers without runc, by the FIFO at which their init waits; whatever that cannot do or tell is left to the runtime.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ContainerdError, inspectImage, load, type ImageDetails } from '@pouch/containerd';
import { shimPath } from '@pouch/native';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive } from '../../fixtures/images.ts';
import { ensureNative, until } from '../../fixtures/native.ts';
import { createContainer, createTask, endContainer } from './spec.ts';

describe('a start without the runtime', { skip: containerdMissing() || busyboxMissing(), timeout: 120_000 }, () => {
  let containerd: TestContainerd;
  let image: ImageDetails;
  before(async () => {
    await ensureNative();
    containerd = await startContainerd();
    const busybox = await busyboxImage();
    await load(containerd.client, Readable.from([await dockerArchive([busybox])]));
    image = await inspectImage(containerd.client, busybox.reference);
  });
  after(async () => { await containerd.stop(); });

  /** A runtime called `name` that notes its verbs, does `atCreated` with a new container ($state is its directory) and `atStart` before a start, and else is runc. */
  async function runtime(name: string, atCreated = ':', atStart = ':'): Promise<{ binaryName: string; verbs: () => Promise<string[]> }> {
    const dir = join(containerd.directory, `runtime-${Math.random().toString(16).slice(2)}`);
    const calls = join(dir, 'calls');
    const binaryName = join(dir, name);
    await mkdir(dir);
    await writeFile(calls, '');
    const runc = execFileSync('sh', ['-c', 'command -v runc'], { encoding: 'utf8' }).trim();
    await writeFile(binaryName, `#!/bin/sh
for word; do case $before in --root) root=$word;; esac; before=$word; case $word in create|start|kill|delete) verb=$verb$word;; esac; last=$word; done
state=$root/$last
echo $verb >> ${calls}
case $verb in start) ${atStart};; create) ${runc} "$@" || exit; ${atCreated}; exit;; esac
exec ${runc} "$@"
`);
    await chmod(binaryName, 0o755);
    return { binaryName, verbs: async () => (await readFile(calls, 'utf8')).split('\n').filter((verb) => verb === 'create' || verb === 'start') };
  }

  /** Makes a container of this runtime, does `work` with it, and takes it away. */
  async function withContainer(command: string[], settings: { binaryName: string; hooks?: object }, work: (id: string) => Promise<void>): Promise<void> {
    const id = await createContainer(containerd.client, image, command, {}, shimPath, settings);
    try {
      await createTask(containerd.client, id);
      await work(id);
    } finally {
      await endContainer(containerd.client, id);
    }
  }

  test('runc is not called, and finds its container running afterwards', async () => {
    const { binaryName, verbs } = await runtime('runc');
    await withContainer(['sleep', '600'], { binaryName }, async (id) => {
      const { tasks } = containerd.client;
      await tasks.start(id);
      assert.equal((await tasks.get(id)).status, 'RUNNING');
      await tasks.pause(id); // runc pauses only what runs
      await tasks.resume(id);
      assert.deepEqual(await verbs(), ['create']);
    });
  });

  test('a program that ends at once has its exit code, a hundred times', async () => {
    for (let code = 0; code < 100; code += 20) {
      await Promise.all(Array.from({ length: 20 }, async (_, at) => {
        await withContainer(['sh', '-c', `exit ${code + at}`], { binaryName: 'runc' }, async (id) => {
          await containerd.client.tasks.start(id);
          assert.equal((await containerd.client.tasks.wait(id)).exitStatus, code + at);
        });
      }));
    }
  });

  test('an init that died before its start is told in the words of the runtime', async () => {
    const { binaryName, verbs } = await runtime('runc');
    await withContainer(['sleep', '600'], { binaryName }, async (id) => {
      const { tasks } = containerd.client;
      process.kill((await tasks.get(id)).pid, 'SIGSTOP'); // so that the start is under way when it dies
      const starting = tasks.start(id);
      const refused = assert.rejects(starting, (error) => error instanceof ContainerdError && /cannot start/.test(error.message));
      await tasks.kill(id, 9);
      await refused;
      assert.deepEqual(await verbs(), ['create', 'start']);
      assert.equal((await tasks.wait(id)).exitStatus, 137);
    });
  });

  test('poststart hooks are run by the runtime', async () => {
    const { binaryName, verbs } = await runtime('runc');
    const file = join(containerd.directory, 'hooked');
    await withContainer(['sleep', '600'], { binaryName, hooks: { poststart: [{ path: '/bin/touch', args: ['touch', file] }] } }, async (id) => {
      await containerd.client.tasks.start(id);
      await until('the hook has run', () => readFile(file).catch(() => undefined));
      assert.deepEqual(await verbs(), ['create', 'start']);
    });
  });

  test('a runtime of another name is called, and so is one whose containers do not wait at that FIFO', async () => {
    for (const { binaryName, verbs } of [await runtime('other'), await runtime('runc', 'mv $state/exec.fifo $state/real; mkfifo $state/exec.fifo', 'mv $state/real $state/exec.fifo')]) {
      await withContainer(['sleep', '600'], { binaryName }, async (id) => {
        await containerd.client.tasks.start(id);
        assert.equal((await containerd.client.tasks.get(id)).status, 'RUNNING');
        assert.deepEqual(await verbs(), ['create', 'start']);
      });
    }
  });
});
