// Execs that follow each other: from the third on our shim has one ready. It must be the same in everything that can be seen, and take nothing from the container.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ContainerdError, inspectImage, load, type ImageDetails } from '@pouch/containerd';
import { shimPath } from '@pouch/native';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive } from '../../fixtures/images.ts';
import { ensureNative, until } from '../../fixtures/native.ts';
import { runExec, type Ran } from './execs.ts';
import { createContainer, createTask, endContainer } from './spec.ts';

describe('ready execs', { skip: containerdMissing() || busyboxMissing(), timeout: 120_000 }, () => {
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

  async function withContainer(work: (id: string, pid: number) => Promise<void>, command = ['sleep', '600']): Promise<void> {
    const { client } = containerd;
    const id = await createContainer(client, image, command, {}, shimPath);
    try {
      await createTask(client, id);
      const { pid } = await client.tasks.start(id);
      await work(id, pid);
    } finally {
      await endContainer(client, id);
    }
  }

  const caps = ['CAP_CHOWN', 'CAP_KILL'];
  const shape = (args: string[], more: object = {}): object => ({
    user: { uid: 0, gid: 0 }, args, env: ['PATH=/sbin:/bin', 'A=1'], cwd: '/', noNewPrivileges: true,
    capabilities: { bounding: caps, effective: caps, permitted: caps }, rlimits: [{ type: 'RLIMIT_NOFILE', soft: 512, hard: 512 }], ...more,
  });

  const exec = (id: string, process: object): Promise<Ran> => runExec(containerd, id, process);

  /** The ready process, by the name it has while it waits. */
  const readyOf = (pid: number): number | undefined => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).find((candidate) => {
    try {
      return readFileSync(`/proc/${candidate}/comm`, 'utf8') === 'pouch-ready\n' && namespaceOf(candidate) === namespaceOf(pid);
    } catch {
      return false; // ended meanwhile
    }
  });
  const namespaceOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/pid`);
  async function makeReady(id: string, pid: number, process: object): Promise<number> {
    for (let i = 0; i < 2; i++) await exec(id, process);
    return await until('a ready exec', () => readyOf(pid));
  }

  test('the ready one is as the runtime makes one: user, rights, limits, groups, namespaces, environment, streams', async () => {
    await withContainer(async (id, pid) => {
      const look = (): object => shape(['sh', '-c', 'env | sort; pwd; ulimit -n; ulimit -Hn; id; cat /proc/self/cgroup; grep -E "^(Cap|NoNewPrivs|Seccomp|Groups|Sig|NSsid|Umask|Threads)" /proc/self/status | grep -v SigQ; for n in /proc/self/ns/*; do readlink $n; done; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l; tr "\\0" " " < /proc/self/cmdline; echo to err >&2; exit 3'], { cwd: '/bin', env: ['PATH=/sbin:/bin', 'B=2', 'B=3', 'Ü=ö"\\'] });
      const usual = await exec(id, look());
      await exec(id, look());
      const ready = await until('a ready exec', () => readyOf(pid));
      const taken = await exec(id, look());
      assert.equal(taken.pid, ready);
      const clean = ({ out }: Ran): string[] => out.split('\n').filter((line) => !line.startsWith('NSsid'));
      assert.deepEqual(clean(taken), clean(usual));
      assert.deepEqual([taken.code, taken.err], [3, 'to err\n']);
    });
  });

  test('what cannot be executed is said by the runtime, in its words', async () => {
    await withContainer(async (id, pid) => {
      for (const [args, words] of [[['no-such-command'], /executable file not found in \$PATH/], [['/etc'], /permission denied|is a directory/]] as const) {
        await makeReady(id, pid, shape(['true']));
        await assert.rejects(exec(id, shape([...args])), (error) => error instanceof ContainerdError && words.test(error.message));
      }
      assert.equal((await exec(id, shape(['sh', '-c', 'exit 5']))).code, 5);
    });
  });

  test('another user is not served by it, and has one of its own next time', async () => {
    await withContainer(async (id, pid) => {
      await makeReady(id, pid, shape(['true']));
      const other = (args: string[]): object => shape(args, { user: { uid: 1000, gid: 1000 } });
      assert.equal((await exec(id, other(['id', '-u']))).out, '1000\n');
      await exec(id, other(['true']));
      const ready = await until('a ready exec of that user', () => {
        const found = readyOf(pid);
        return found !== undefined && /^Uid:\t1000\t/m.test(readFileSync(`/proc/${found}/status`, 'utf8')) ? found : undefined;
      });
      const taken = await exec(id, other(['sh', '-c', 'id -u; echo again > /proc/self/fd/2']));
      assert.deepEqual([taken.pid, taken.out, taken.err], [ready, '1000\n', 'again\n']);
    });
  });

  test('it is not among the container\'s processes, and does not outlive a pause, its end or its being killed', async () => {
    const { client } = containerd;
    await withContainer(async (id, pid) => {
      const first = await makeReady(id, pid, shape(['true']));
      assert.deepEqual((await client.tasks.listPids(id)).map((process) => process.pid), [pid]);
      await client.tasks.pause(id);
      assert.equal(readyOf(pid), undefined);
      await client.tasks.resume(id);
      const second = await makeReady(id, pid, shape(['true']));
      assert.notEqual(second, first);
      process.kill(second, 'SIGKILL');
      assert.equal((await exec(id, shape(['sh', '-c', 'exit 6']))).code, 6);
      await makeReady(id, pid, shape(['true']));
      await client.tasks.kill(id, 9);
      await client.tasks.wait(id);
      await client.tasks.delete(id);
      assert.equal(readyOf(pid), undefined);
    });
  });

  test('many execs at once: each runs once', async () => {
    await withContainer(async (id, pid) => {
      await makeReady(id, pid, shape(['true']));
      const ran = await Promise.all(Array.from({ length: 12 }, (_, i) => exec(id, shape(['sh', '-c', `echo ${i}; exit ${i}`]))));
      assert.deepEqual(ran.map(({ code, out }) => [code, out]), Array.from({ length: 12 }, (_, i) => [i, `${i}\n`]));
    });
  });
});
