// What our shim must bear: its own death, hostile bytes on its socket, output that nobody reads, log writers that do not start; and that it leaves nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ContainerdError, inspectImage, load, type ContainerdEvent, type ImageDetails, type TaskStdio } from '@pouch/containerd';
import { logWriterUri, shimPath } from '@pouch/native';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive } from '../../fixtures/images.ts';
import { ensureNative, outputOf, readLog, until } from '../../fixtures/native.ts';
import { createContainer, createTask, endContainer, processOf } from './spec.ts';

describe('containerd-shim-pouch-v2', { skip: containerdMissing() || busyboxMissing(), timeout: 120_000 }, () => {
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

  async function withContainer(command: string[], work: (id: string) => Promise<void>, process: object = {}, runtime: { readonly binaryName?: string } = {}): Promise<void> {
    const { client } = containerd;
    const id = await createContainer(client, image, command, process, shimPath, runtime);
    try {
      await work(id);
    } finally {
      await endContainer(client, id);
    }
  }
  async function started(id: string, stdio: TaskStdio = {}): Promise<number> {
    await createTask(containerd.client, id, stdio);
    return (await containerd.client.tasks.start(id)).pid;
  }
  const bundle = (id: string): string => join(containerd.directory, 'state', 'io.containerd.runtime.v2.task', 'test', id);
  const shimPid = (id: string): number => Number(readFileSync(join(bundle(id), 'shim.pid'), 'utf8'));
  const socketOf = (id: string): string => readFileSync(join(bundle(id), 'address'), 'utf8').replace('unix://', '');
  const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

  test('kill -9 of the shim ends its container, and containerd tells it', async () => {
    const { client } = containerd;
    const events: ContainerdEvent[] = [];
    const subscription = await client.events.subscribe(['topic=="/tasks/exit"'], (event) => { events.push(event); });
    await withContainer(['sleep', '600'], async (id) => {
      const pid = await started(id);
      const [shim, socket] = [shimPid(id), socketOf(id)];
      process.kill(shim, 'SIGKILL');
      await until('the exit to be told', () => events.some((event) => event.type === 'task-exit' && event.containerId === id && event.exitStatus === 137) || undefined);
      await until('the container to be gone', () => !alive(pid) || undefined);
      await until('the socket to be gone', () => !existsSync(socket) || undefined);
    });
    subscription.close();
  });

  test('a task leaves no socket, mount, process or file', async () => {
    await withContainer(['sh', '-c', 'exit 4'], async (id) => {
      const { client } = containerd;
      await started(id);
      const [shim, socket] = [shimPid(id), socketOf(id)];
      assert.equal((await client.tasks.wait(id)).exitStatus, 4);
      await client.tasks.delete(id);
      await until('the shim to end', () => !alive(shim) || undefined);
      assert.deepEqual([existsSync(socket), existsSync(bundle(id)), readFileSync('/proc/self/mountinfo', 'utf8').includes(id)], [false, false, false]);
    });
  });

  test('hostile bytes end their connection and nothing else; strangers and unknown words are refused', async () => {
    await withContainer(['sleep', '600'], async (id) => {
      const pid = await started(id);
      const shim = shimPid(id);
      const frame = (body: Buffer, type = 1, length = body.length): Buffer => {
        const head = Buffer.alloc(10);
        head.writeUInt32BE(length, 0);
        head.writeUInt32BE(1, 4);
        head[8] = type;
        return Buffer.concat([head, body]);
      };
      const text = (field: number, value: string | Buffer): Buffer => {
        const bytes = Buffer.from(value);
        assert.ok(bytes.length < 128);
        return Buffer.concat([Buffer.from([field << 3 | 2, bytes.length]), bytes]);
      };
      const call = (method: string, payload: Buffer): Buffer => frame(Buffer.concat([text(1, 'containerd.task.v2.Task'), text(2, method), text(3, payload)]));
      const answered = async (bytes: Buffer): Promise<string> => {
        const socket = connect(socketOf(id));
        socket.on('error', () => undefined); // it may hang up while we write
        socket.end(bytes);
        let answer = Buffer.alloc(0);
        socket.on('data', (data: Buffer) => { answer = Buffer.concat([answer, data]); });
        await once(socket, 'close');
        return answer.toString('latin1');
      };
      const noise = Buffer.from(Array.from({ length: 4_096 }, (_, i) => (i * 7919 + (i >> 3) * 31) & 0xff));
      assert.equal(await answered(frame(Buffer.alloc(0), 1, 0xffffffff)), '');
      await answered(noise);
      for (let i = 0; i < 64; i++) await answered(frame(noise.subarray(i * 60, i * 60 + i * 8)));
      assert.match(await answered(frame(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]))), /malformed/);
      assert.match(await answered(call('Nonsense', Buffer.alloc(0))), /method Nonsense/);
      assert.match(await answered(frame(Buffer.concat([text(1, 'other.Service'), text(2, 'State')]))), /service other\.Service/);
      assert.match(await answered(call('State', Buffer.from([0x12, 0x7f]))), /malformed request of State/);
      assert.match(await answered(call('State', text(2, 'a\0b'))), /not created|does not exist/);
      assert.match(await answered(call('Exec', text(2, '../../x'))), /malformed exec/);
      assert.match(await answered(call('Create', text(2, '/tmp'))), /this shim's bundle is/);
      assert.match(await answered(call('Kill', Buffer.from([0x18, 0xff, 0x01]))), /there is no signal 255/);
      assert.equal((await stat(socketOf(id))).mode & 0o777, 0o600);
      assert.deepEqual([alive(shim), alive(pid)], [true, true]);
      assert.equal((await containerd.client.tasks.get(id)).status, 'RUNNING');
    });
  });

  test('output that nobody reads stops the process, not the shim; what is there can be read after the end', async () => {
    const { client } = containerd;
    await withContainer(['sleep', '600'], async (id) => {
      await started(id);
      const stdout = join(containerd.directory, `unread-${id}`);
      execFileSync('mkfifo', [stdout]);
      await client.tasks.exec({ containerId: id, execId: 'loud', process: processOf(['sh', '-c', 'dd if=/dev/zero bs=1024 count=1024 2>/dev/null']), stdout });
      await client.tasks.startExec(id, 'loud');
      assert.equal((await client.tasks.get(id, { execId: 'loud' })).status, 'RUNNING');
      await client.tasks.exec({ containerId: id, execId: 'brief', process: processOf(['sh', '-c', 'exit 3']) });
      await client.tasks.startExec(id, 'brief');
      assert.equal((await client.tasks.wait(id, { execId: 'brief' })).exitStatus, 3);
      await client.tasks.kill(id, 9, { execId: 'loud' });
      assert.equal((await client.tasks.wait(id, { execId: 'loud' })).exitStatus, 137);
      const fd = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
      assert.ok(readSync(fd, Buffer.alloc(4_096)) > 0);
      closeSync(fd);
      await client.tasks.deleteProcess(id, 'loud');
    });
  });

  test('the log writer has everything and its end record when the task is deleted, with a terminal, too', async () => {
    const { client } = containerd;
    for (const terminal of [false, true]) {
      await withContainer(['sh', '-c', 'i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done'], async (id) => {
        const dir = join(containerd.directory, `log-${id}`);
        await mkdir(dir);
        const uri = logWriterUri({ dir, startId: 'start %&=+ü', tty: terminal });
        await started(id, terminal ? { stdout: uri, terminal } : { stdout: uri, stderr: uri });
        await client.tasks.wait(id);
        await client.tasks.delete(id);
        const { records } = await readLog(dir);
        assert.deepEqual([records.at(0)?.kind, records.at(-1)?.kind], ['start', 'end']);
        assert.equal(outputOf(records, 'stdout').toString().replaceAll('\r', ''), Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join(''));
      }, terminal ? { terminal } : {});
    }
  });

  test('what the runtime says before the program is let go is no output, however much it is; a container that is never started has none', async () => {
    const { client } = containerd;
    const wordy = join(containerd.directory, 'wordy', 'runc');
    await mkdir(join(containerd.directory, 'wordy'));
    // More than a pipe holds: nobody is kept waiting by it.
    await writeFile(wordy, '#!/bin/sh\ncase " $* " in *" create "*) seq 20000; seq 20000 >&2;; esac\nexec runc "$@"\n', { mode: 0o755 });
    for (const terminal of [false, true]) {
      for (const starts of [true, false]) {
        await withContainer(['sh', '-c', 'echo of the program'], async (id) => {
          const dir = join(containerd.directory, `log-${id}`);
          await mkdir(dir);
          const uri = logWriterUri({ dir, startId: 'start', tty: terminal });
          await createTask(client, id, terminal ? { stdout: uri, terminal } : { stdout: uri, stderr: uri });
          if (starts) await client.tasks.start(id);
          else await client.tasks.kill(id, 9);
          await client.tasks.wait(id);
          await client.tasks.delete(id);
          const { records } = await readLog(dir);
          assert.deepEqual([records.at(0)?.kind, records.at(-1)?.kind], ['start', 'end']);
          assert.equal(outputOf(records, 'stdout').toString().replaceAll('\r', ''), starts ? 'of the program\n' : '');
          assert.equal(outputOf(records, 'stderr').length, 0);
        }, terminal ? { terminal } : {}, { binaryName: wordy });
      }
    }
  });

  test('a log writer that cannot be started, a FIFO that is none, a runtime that is not there: each is said, and leaves no task', async () => {
    const { client } = containerd;
    await withContainer(['true'], async (id) => {
      await assert.rejects(createTask(client, id, { stdout: '/etc/passwd' }), (error) => error instanceof ContainerdError && /\/etc\/passwd is not a FIFO/.test(error.message));
      await assert.rejects(client.tasks.get(id), (error) => error instanceof ContainerdError && error.code === 'not-found');
      assert.equal(existsSync(bundle(id)), false);
      await started(id, { stdout: 'binary:///no/such/program', stderr: 'binary:///no/such/program' }); // as under containerd's shim the container runs, its output is lost
      await client.tasks.wait(id);
      await client.tasks.delete(id);
    });
  });

  test('what happened while containerd was away is told to the next one', async () => {
    const { client } = containerd;
    await withContainer(['sh', '-c', 'while [ ! -e /go ]; do sleep .05; done; exit 8'], async (id) => {
      const pid = await started(id);
      await containerd.restart();
      await client.waitForReady(30_000);
      const events: ContainerdEvent[] = [];
      const subscription = await client.events.subscribe(['topic=="/tasks/exit"'], (event) => { events.push(event); });
      execFileSync('touch', [`/proc/${pid}/root/go`]);
      await until('the exit to be told', () => events.some((event) => event.type === 'task-exit' && event.containerId === id && event.exitStatus === 8) || undefined);
      assert.equal((await client.tasks.delete(id)).exitStatus, 8);
      subscription.close();
    });
  });

  test('a shim has a megabyte at most', async () => {
    await withContainer(['sleep', '600'], async (id) => {
      await started(id);
      const rollup = readFileSync(`/proc/${shimPid(id)}/smaps_rollup`, 'utf8');
      assert.ok(Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1]) < 1_024, rollup);
      assert.ok(readdirSync(`/proc/${shimPid(id)}/fd`).length < 20);
    });
  });
});
