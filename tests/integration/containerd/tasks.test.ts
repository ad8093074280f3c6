// Real containers by runc: how they start, run, are talked to, and end. The same under containerd's own shim and under ours.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ContainerdError, inspectImage, load, type ContainerdEvent, type ImageDetails } from '@pouch/containerd';
import { shimPath } from '@pouch/native';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive } from '../../fixtures/images.ts';
import { ensureNative } from '../../fixtures/native.ts';
import { createContainer, createTask, endContainer, processOf } from './spec.ts';

const failsWith = (code: string) => (error: unknown): boolean => error instanceof ContainerdError && error.code === code;

async function eventually<T>(what: string, look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

for (const shim of ['io.containerd.runc.v2', shimPath]) describe(`containerd tasks under ${basename(shim)}`, { skip: containerdMissing() || busyboxMissing(), timeout: 240_000 }, () => {
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

  /** Runs `work` with a container and removes whatever of it is left. */
  async function withContainer(args: string[], work: (id: string) => Promise<void>, process: object = {}): Promise<void> {
    const { client } = containerd;
    const id = await createContainer(client, image, args, process, shim);
    try {
      await work(id);
    } finally {
      await endContainer(client, id);
    }
  }
  let fifos = 0;
  function fifo(): string {
    const path = join(containerd.directory, `fifo-${++fifos}`);
    execFileSync('mkfifo', [path]);
    return path;
  }
  /** Opens a FIFO's reading end without blocking; the keeper holds a writer so that it does not see EOF before the shim has opened it. */
  function reader(path: string): { socket: Socket; keeper: number } {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const keeper = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    return { socket: new Socket({ fd, readable: true, writable: false }), keeper };
  }

  test('create, start, wait, delete; the events tell the same', async () => {
    const { client } = containerd;
    const events: ContainerdEvent[] = [];
    const subscription = await client.events.subscribe(['topic~="^/tasks/"'], (event) => { events.push(event); });
    await withContainer(['sh', '-c', 'exit 42'], async (id) => {
      await createTask(client, id);
      const created = await client.tasks.get(id);
      assert.deepEqual([created.status, created.containerId, created.execId, created.exitedAt], ['CREATED', id, '', null]);
      const waiting = client.tasks.wait(id);
      const { pid } = await client.tasks.start(id);
      const exit = await waiting;
      assert.equal(exit.exitStatus, 42);
      assert.deepEqual(await client.tasks.wait(id), exit, 'wait answers for an ended task, too');
      assert.deepEqual((await client.tasks.list()).map(({ containerId, status, exitStatus }) => ({ containerId, status, exitStatus })), [{ containerId: id, status: 'STOPPED', exitStatus: 42 }]);
      const deleted = await client.tasks.delete(id);
      assert.deepEqual(deleted, { pid, ...exit });
      await assert.rejects(client.tasks.get(id), failsWith('not-found'));
      await eventually('the deletion to be told', () => events.some(({ type }) => type === 'task-delete'));
      assert.deepEqual(events.map(({ type }) => type), ['task-create', 'task-start', 'task-exit', 'task-delete']);
      const told = events.find((event) => event.type === 'task-exit');
      assert.deepEqual([told?.containerId, told?.execId, told?.pid, told?.exitStatus, told?.exitedAt], [id, '', pid, 42, exit.exitedAt]);
    });
    subscription.close();
  });

  test('an exec talks through FIFOs; closing stdin reaches it as EOF while its output goes on', async () => {
    const { client } = containerd;
    await withContainer(['sleep', '600'], async (id) => {
      await createTask(client, id);
      await client.tasks.start(id);
      const [stdin, stdout, stderr] = [fifo(), fifo(), fifo()];
      const out = reader(stdout);
      const err = reader(stderr);
      const output = Promise.all([text(out.socket), text(err.socket)]);
      await client.tasks.exec({ containerId: id, execId: 'talk', process: processOf(['sh', '-c', 'cat; echo done >&2; exit 7']), stdin, stdout, stderr });
      const starting = client.tasks.startExec(id, 'talk');
      const input = await open(stdin, constants.O_WRONLY);
      const { pid } = await starting;
      closeSync(out.keeper);
      closeSync(err.keeper);
      const running = await client.tasks.get(id, { execId: 'talk' });
      assert.deepEqual([running.containerId, running.execId, running.pid, running.status], [id, 'talk', pid, 'RUNNING']);
      writeSync(input.fd, 'hello ');
      writeSync(input.fd, 'there\n');
      await input.close();
      await client.tasks.closeStdin(id, { execId: 'talk' });
      assert.equal((await client.tasks.wait(id, { execId: 'talk' })).exitStatus, 7);
      assert.equal((await client.tasks.deleteProcess(id, 'talk')).exitStatus, 7);
      assert.deepEqual(await output, ['hello there\n', 'done\n']);
      await assert.rejects(client.tasks.get(id, { execId: 'talk' }), failsWith('not-found'));
    });
  });

  test('an exec on a terminal has the size that it is given', async () => {
    const { client } = containerd;
    await withContainer(['sleep', '600'], async (id) => {
      await createTask(client, id);
      await client.tasks.start(id);
      const stdout = fifo();
      const out = reader(stdout);
      const output = text(out.socket);
      await client.tasks.exec({ containerId: id, execId: 'tty', process: processOf(['sh', '-c', 'while [ "$(stty size)" != "33 99" ]; do sleep .05; done; stty size'], { terminal: true }), stdout, terminal: true });
      await client.tasks.startExec(id, 'tty');
      closeSync(out.keeper);
      await client.tasks.resizePty(id, { width: 99, height: 33 }, { execId: 'tty' });
      assert.equal((await client.tasks.wait(id, { execId: 'tty' })).exitStatus, 0);
      await client.tasks.deleteProcess(id, 'tty');
      assert.match(await output, /33 99/);
    });
  });

  test('stdout to a file; a death by signal is 128 + N; pids, pause, resume and figures', async () => {
    const { client } = containerd;
    await withContainer(['sh', '-c', 'echo started; sleep 600 & sleep 600; true'], async (id) => {
      const log = join(containerd.directory, 'out.log');
      await createTask(client, id, { stdout: `file://${log}`, stderr: `file://${log}` });
      const { pid } = await client.tasks.start(id);
      await eventually('output', () => readFileSync(log, 'utf8').includes('started'));
      await eventually('three processes', async () => (await client.tasks.listPids(id)).length === 3);
      assert.ok((await client.tasks.listPids(id)).some((process) => process.pid === pid));
      const [metric] = await client.tasks.metrics([`id==${id}`]);
      assert.equal(metric?.containerId, id);
      assert.match(metric.data.type_url, /cgroups/);
      await client.tasks.pause(id);
      assert.equal((await client.tasks.get(id)).status, 'PAUSED');
      await client.tasks.resume(id);
      assert.equal((await client.tasks.get(id)).status, 'RUNNING');
      await assert.rejects(client.tasks.delete(id), failsWith('failed-precondition'));
      await client.tasks.kill(id, 9);
      assert.equal((await client.tasks.wait(id)).exitStatus, 137);
      await assert.rejects(client.tasks.kill(id, 9), failsWith('not-found'));
    });
  });

  test('a command that does not exist is said by the runtime, and leaves no task', async () => {
    const { client } = containerd;
    await withContainer(['/no/such/command'], async (id) => {
      await assert.rejects(createTask(client, id).then(() => client.tasks.start(id)), (error) => error instanceof ContainerdError && /no such file or directory/.test(error.message));
      await client.tasks.delete(id).catch(() => undefined); // made and not started, or never made
      await assert.rejects(client.tasks.get(id), failsWith('not-found'));
    });
  });

  test('wait can be cancelled, and has no deadline of its own', async () => {
    const { client } = containerd;
    await withContainer(['sleep', '600'], async (id) => {
      await createTask(client, id);
      await client.tasks.start(id);
      await assert.rejects(client.tasks.wait(id, { timeoutMs: 50 }), failsWith('deadline'));
      const stop = new AbortController();
      const waiting = client.tasks.wait(id, { signal: stop.signal });
      stop.abort();
      await assert.rejects(waiting, failsWith('cancelled'));
      await assert.rejects(client.tasks.wait(id, { signal: stop.signal }), failsWith('cancelled'));
    });
  });

  test('a container outlives containerd, and an exit that happened meanwhile is known afterwards', async () => {
    const { client } = containerd;
    await withContainer(['sh', '-c', 'sleep .3; exit 9'], async (id) => {
      await createTask(client, id);
      await client.tasks.start(id);
      await containerd.restart();
      await client.waitForReady(30_000);
      const exit = await client.tasks.wait(id);
      assert.equal(exit.exitStatus, 9);
      assert.notEqual(exit.exitedAt, null);
    });
  });
});
