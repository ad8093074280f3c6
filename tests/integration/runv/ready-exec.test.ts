// Execs that follow each other in a machine: from the third on our shim has one ready, on the host and in the guest. It must be the same in all that can be seen.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ContainerdError, inspectImage, load, type ImageDetails } from '@pouch/containerd';
import { shimPath } from '@pouch/native';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { until } from '../../fixtures/native.ts';
import { runExec, type Ran } from '../containerd/execs.ts';
import { createContainer, createTask, endContainer, processOf } from '../containerd/spec.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const skip = containerdMissing() || (await guestMissing());

describe('ready execs in a machine', { skip, timeout: 300_000 }, () => {
  let containerd: TestContainerd;
  let kit: GuestKit;
  let id: string;

  before(async () => {
    kit = await GuestKit.make();
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    containerd = await startContainerd();
    const root = join(kit.directory, 'run');
    await mkdir(root);
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', templates: false, memoryBytes: 192 << 20 }));
    const busybox = await busyboxImage();
    await load(containerd.client, Readable.from([await dockerArchive([busybox])]));
    const image: ImageDetails = await inspectImage(containerd.client, busybox.reference);
    id = await createContainer(containerd.client, image, ['sleep', '600'], {}, shimPath, { binaryName: runv, root });
    await createTask(containerd.client, id);
    await containerd.client.tasks.start(id);
  });
  after(async () => {
    if (id !== undefined) await endContainer(containerd.client, id);
    await containerd?.stop();
    await kit?.remove();
  });

  const exec = (args: string[], more: object = {}, how: Parameters<typeof runExec>[3] = {}): Promise<Ran> => runExec(containerd, id, processOf(args, more), how);

  /** Monitors of execs, and what has started them: between execs it is the one that is ready. */
  const waiting = (): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return new RegExp(`^\\S*/pouch-monitor\0--config\0\\S*/${id}/exec-`).test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    } catch {
      return false; // ended meanwhile
    }
  });

  const sessionOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[3]);

  async function makeReady(more: object = {}): Promise<number> {
    await exec(['true'], more);
    await exec(['true'], more);
    return await until('a ready exec', () => {
      const [pid, ...others] = waiting();
      // Its starter ends once the guest has it ready; it leads a session of its own.
      return pid !== undefined && others.length === 0 && sessionOf(pid) === pid ? pid : undefined;
    });
  }

  test('the ready one is as any other: rights, limits, environment, directory, streams, status', async () => {
    const caps = ['CAP_CHOWN', 'CAP_KILL'];
    const more = { user: { uid: 1000, gid: 1001, additionalGids: [7] }, cwd: '/bin', noNewPrivileges: true, capabilities: { bounding: caps, effective: [], permitted: [] }, rlimits: [{ type: 'RLIMIT_NOFILE', soft: 512, hard: 512 }] };
    const look = ['sh', '-c', 'env | sort; pwd; ulimit -n; id; cat /proc/self/cgroup; grep -E "^(Name|Cap|NoNewPrivs|Seccomp|Groups|Sig|Umask|Threads)" /proc/self/status | grep -v SigQ; for n in /proc/self/ns/*; do readlink $n; done; ls /proc/self/fd | wc -l; tr "\\0" " " < /proc/self/cmdline; echo to err >&2; exit 3'];
    const usual = await exec(look, { ...more, env: ['PATH=/bin', 'B=2', 'Ü=ö"\\'] });
    const ready = await makeReady(more);
    const taken = await exec(look, { ...more, env: ['PATH=/bin', 'B=2', 'Ü=ö"\\'] });
    assert.equal(taken.pid, ready);
    assert.deepEqual({ ...taken, pid: 0 }, { ...usual, pid: 0 });
    assert.deepEqual([taken.code, taken.err], [3, 'to err\n']);
  });

  test('what cannot be executed is told in the runtime’s words, and the next one is served', async () => {
    for (const [args, words] of [[['no-such-command'], /executable file not found in \$PATH/], [['/etc'], /permission denied|is a directory/]] as const) {
      await makeReady();
      await assert.rejects(exec([...args]), (error) => error instanceof ContainerdError && words.test(error.message));
    }
    assert.equal((await exec(['sh', '-c', 'exit 5'])).code, 5);
  });

  test('its input ends, and another exec’s too while it waits; signals reach it', async () => {
    const stdin = join(containerd.directory, 'stdin');
    execFileSync('mkfifo', [stdin]);
    const ready = await makeReady();
    const input = openSync(stdin, 'r+');
    const ran = await exec(['sh', '-c', 'cat; echo end'], {}, {
      stdin, whileItRuns: async (execId) => {
        writeSync(input, 'some words\n');
        await exec(['true']); // and a ready one is made beside it
        await until('another ready exec', () => waiting().find((pid) => pid !== ready));
        closeSync(input);
        await containerd.client.tasks.closeStdin(id, { execId });
      },
    });
    assert.deepEqual([ran.pid, ran.out, ran.code], [ready, 'some words\nend\n', 0]);
    const second = await makeReady();
    const slept = await exec(['sleep', '100'], {}, { whileItRuns: (execId) => containerd.client.tasks.kill(id, 15, { execId }) });
    assert.deepEqual([slept.pid, slept.code], [second, 143]);
  });

  test('nothing of it is left by a pause, or when either end of it is killed', async () => {
    const { client } = containerd;
    // Each takes the one that is ready, and the next is made while it runs.
    const find = 'until p=$(grep -l pouch-ready /proc/[0-9]*/comm); do sleep .1; done; p=$(echo $p | cut -d/ -f3)';
    await makeReady();
    assert.match((await exec(['sh', '-c', `${find}; echo $p`])).out, /^\d+\n$/);
    await makeReady();
    await client.tasks.pause(id);
    assert.deepEqual(waiting(), []);
    await client.tasks.resume(id);
    const second = await makeReady();
    process.kill(second, 'SIGKILL');
    assert.equal((await exec(['sh', '-c', 'exit 6'])).code, 6);
    await makeReady();
    assert.equal((await exec(['sh', '-c', `${find}; kill -9 $p`])).code, 0);
    assert.equal((await exec(['sh', '-c', 'exit 7'])).code, 7);
  });

  test('many at once: each runs once', async () => {
    await makeReady();
    const ran = await Promise.all(Array.from({ length: 8 }, (_, i) => exec(['sh', '-c', `echo ${i}; exit ${i}`])));
    assert.deepEqual(ran.map(({ code, out }) => [code, out]), Array.from({ length: 8 }, (_, i) => [i, `${i}\n`]));
  });
});
