// Ways in which the life of a container goes wrong by what happens to it: kill -9 of each of its processes and of the runtime while it makes it, a
// runtime whose directory is full or cannot be written, an agent that dies. Each leaves nothing behind.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { tarOf } from '../../fixtures/images.ts';
import { ask, demand, eventually, NoAnswer, read, type Answer } from './client.ts';
import { processes, processesOfContainer } from './processes.ts';
import type { Requests } from './requests.ts';
import { killNow } from './under-test.ts';
import type { Life } from './ways.ts';

const run = promisify(execFile);
const longSleep = { Cmd: ['sleep', '600'] };

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has just ended by itself
  }
}

/** Ends the process of a container that `pattern` matches. */
async function killProcess(id: string, pattern: RegExp): Promise<void> {
  const all = await processesOfContainer(id);
  const found = all.find(({ command }) => pattern.test(command));
  assert.ok(found !== undefined, `no process is like ${String(pattern)}: ${all.map(({ command }) => command.slice(0, 120)).join('\n')}`);
  kill(found.pid);
}

/** Waits until it has ended; its exit code and reason. */
async function ended(on: Requests, id: string): Promise<{ code: number; reason: string }> {
  const { ExitCode, Error: reason } = await eventually(`${id} has ended`, async () => {
    const state = await on.state(id);
    return state.Running ? undefined : state;
  });
  return { code: ExitCode, reason };
}

/** A container in the background, one of whose processes is ended; how it ends then. */
const withEndOf = (on: Requests, pattern: RegExp, expected: (end: { code: number; reason: string }) => void, hostConfig: object = {}): Life => async (name) => {
  const id = await on.created(name, longSleep, { NetworkMode: 'bridge', ...hostConfig });
  await on.start(id);
  await killProcess(id, pattern);
  expected(await ended(on, id));
  await on.remove(id);
};

const killed = ({ code }: { code: number }): void => assert.equal(code, 137);

/** What any runtime's container has. */
const ofAny = (on: Requests): Record<string, Life> => ({
  'its shim is killed': withEndOf(on, /containerd-shim/, killed),
  async 'its log writer is killed'(name) {
    const id = await on.created(name, { Cmd: ['sh', '-c', 'while :; do echo line; sleep 0.02; done'] });
    await on.start(id);
    await killProcess(id, /pouch-log/);
    await on.post(`/containers/${id}/kill`, undefined, [204, 409]);
    await ended(on, id);
    await on.remove(id);
  },
  async 'its runtime is killed while it makes it'(name, random) {
    const id = await on.created(name, longSleep, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const starting = ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
    let over = false;
    void starting.finally(() => { over = true; }).catch(() => undefined);
    await eventually('the runtime has been seen', async () => {
      const found = (await processes()).find(({ command }) => command.includes(id) && / create /.test(command) && !/containerd-shim|pouch-log/.test(command));
      if (found !== undefined) {
        await delay(random.between(0, 150));
        kill(found.pid);
      }
      return found !== undefined || over ? true : undefined;
    });
    const { status, text } = await starting;
    assert.ok([204, 500].includes(status), `${status} ${text}`);
    await on.remove(id);
  },
  async 'removed at some moment of its start'(name, random) {
    const id = await on.created(name, longSleep, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const starting = ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
    await delay(random.between(0, 1_200));
    await on.remove(id);
    await starting;
  },
});

const ofMachines = (on: Requests): Record<string, Life> => ({
  'its QEMU is killed': withEndOf(on, /qemu-system/, ({ code, reason }) => {
    assert.equal(code, 137);
    assert.match(reason, /QEMU was killed by signal 9/);
  }),
  'its monitor is killed': withEndOf(on, /pouch-monitor/, killed),
  'a process that serves its volume is killed': withEndOf(on, /virtiofsd/, ({ code, reason }) => {
    assert.equal(code, 255);
    assert.match(reason, /serves the machine's volumes has ended/);
  }, { Binds: [`${on.cluster.directory}/l:/logs:ro`] }),
  async 'its QEMU is killed while it boots'(name, random) {
    const id = await on.created(name, longSleep, random.oneIn(2) ? { Binds: [`${on.cluster.directory}/l:/logs:ro`] } : {});
    const starting = ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
    let over = false;
    void starting.finally(() => { over = true; }).catch(() => undefined);
    await eventually('its QEMU has been seen', async () => {
      const found = (await processesOfContainer(id)).find(({ command }) => command.includes('qemu-system'));
      if (found !== undefined) kill(found.pid);
      return found !== undefined || over ? true : undefined;
    });
    const { status, text } = await starting;
    assert.ok([204, 500].includes(status), `${status} ${text}`);
    await on.remove(id);
  },
  async 'a kernel that does not boot'(name) {
    const status = (await ask(on.cluster.socket, 'POST', `/containers/create?name=${name}`, { body: on.body({}, { Annotations: { 'io.pouch.kernel': brokenKernel } }) })).status;
    if (status === 201) {
      const answer = await ask(on.cluster.socket, 'POST', `/containers/${name}/start`);
      assert.ok(answer.status >= 400, `${answer.status} ${answer.text}`);
      await on.remove(name);
    } else assert.ok(status >= 400, `${status}`);
  },
});

const ofShared = (on: Requests): Record<string, Life> => ({
  async 'its first process is killed from outside'(name) {
    const id = await on.created(name, longSleep, { NetworkMode: 'bridge' });
    await on.start(id);
    kill((await on.state(id)).Pid);
    killed(await ended(on, id));
    await on.remove(id);
  },
});

/** At once with any others. */
export const injectedFailures = (on: Requests): Readonly<Record<string, Life>> => ({ ...ofAny(on), ...(on.runtime === 'runv' ? ofMachines(on) : ofShared(on)) });

/** Repeats what may have been done until it is answered. */
async function persist(on: Requests, method: string, path: string, done: readonly number[]): Promise<Answer> {
  return await eventually(`${method} ${path} is answered`, async () => {
    try {
      const answer = await ask(on.cluster.socket, method, path);
      return done.includes(answer.status) ? answer : undefined;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return undefined;
    }
  }, { withinMs: 90_000 });
}

/** These disturb whatever goes on beside them, so nothing does. */
export const failuresForAll = (on: Requests): Readonly<Record<string, Life>> => ({
  async 'the agent is killed while it starts it'(name, random) {
    const id = await on.created(name, longSleep, { NetworkMode: 'bridge' });
    const starting = ask(on.cluster.socket, 'POST', `/containers/${id}/start`).catch(() => null); // its answer may not come
    await delay(random.between(0, 800));
    await killNow(on.cluster, 'agent');
    await starting;
    await on.cluster.healthy();
    await read(on.cluster.socket, `/containers/${id}/json`);
    await persist(on, 'DELETE', `/containers/${id}?force=1`, [204, 404]);
  },
  async 'the agent is killed while it removes it'(name, random) {
    const id = await on.created(name, longSleep, { NetworkMode: 'bridge' });
    await on.start(id);
    const removing = ask(on.cluster.socket, 'DELETE', `/containers/${id}?force=1`).catch(() => null);
    await delay(random.between(0, 100));
    await killNow(on.cluster, 'agent');
    await removing;
    await on.cluster.healthy();
    await persist(on, 'DELETE', `/containers/${id}?force=1`, [204, 404]);
  },
  async 'the runtime\'s directory cannot be written'(name) {
    await withMountOver(on, ['-o', 'bind'], async () => await refusesToStart(on, name), 'ro');
  },
  async 'the runtime\'s directory is full'(name) {
    // Enough for some of the files that it makes, and not for all.
    await withMountOver(on, ['-t', 'tmpfs', '-o', `nr_inodes=${on.runtime === 'runv' ? 7 : 3}`], async () => await refusesToStart(on, name));
  },
});

async function refusesToStart(on: Requests, name: string): Promise<void> {
  const id = await on.created(name, longSleep, { NetworkMode: 'bridge' });
  const { status, text } = await ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
  assert.ok(status >= 400 && /read-only|EROFS|ENOSPC|no space/i.test(text), `${status} ${text}`);
  await on.remove(id);
}

/** Lays something over where the runtime keeps its containers, for a while. */
async function withMountOver(on: Requests, kind: readonly string[], work: () => Promise<void>, remount?: string): Promise<void> {
  const place = join(on.cluster.config.run, 'agent', 'runtimes', on.runtime);
  const settings = await readFile(join(place, 'runv.json')).catch(() => null); // runc has none
  await run('mount', [...kind, kind.includes('tmpfs') ? 'none' : place, place]);
  try {
    if (kind.includes('tmpfs') && settings !== null) await writeFile(join(place, 'runv.json'), settings);
    if (remount !== undefined) await run('mount', ['-o', `remount,bind,${remount}`, place]);
    await work();
  } finally {
    await run('umount', ['-l', place]);
  }
}

const brokenKernel = 'broken';

/** A kernel of the right format whose code is not there. It is of the catalogue from then on. */
export async function addBrokenKernel(on: Requests): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-broken-'));
  try {
    const image = join(directory, 'image');
    await copyFile(join(on.cluster.directory, 'k/kernels/debian-6.1-cloud/image'), image);
    const file = await open(image, 'r+');
    await file.write(Buffer.alloc(8 << 20, Buffer.from([0x0f, 0x0b])), 0, 8 << 20, 1 << 20); // ud2: it ends at its first step
    await file.close();
    await demand(on.cluster.socket, 'POST', `/cluster/kernels?name=${brokenKernel}&probe=0`, { raw: await tarOf([{ name: 'image', data: await readFile(image) }]), headers: { 'content-type': 'application/x-tar' } });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
