// The supervisor's unit: a process that is kept running, with growing intervals, and ended in order.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { identify, isRunning, readPidFile } from '../../../scripts/cluster/process-identity.ts';
import { SupervisedProcess } from '../../../scripts/cluster/supervised-process.ts';
import type { ProcessSpec } from '../../../scripts/cluster/specs.ts';
import { until } from '../../fixtures/native.ts';

let directory: string;
const all: SupervisedProcess[] = [];

before(async () => { directory = await mkdtemp(join(tmpdir(), 'pouch-test-supervised-')); });
after(async () => {
  for (const each of all) await each.stop();
  await rm(directory, { recursive: true, force: true });
});

function supervise(name: string, script: string, asked: Pick<ProcessSpec, 'accepts' | 'useless'> = {}): SupervisedProcess {
  const each = new SupervisedProcess(
    { name: 'api', command: '/bin/sh', args: ['-c', script], env: { PATH: '/usr/bin:/bin' }, graceMs: 5_000, ...asked },
    { pid: join(directory, `${name}.pid`), log: join(directory, `${name}.log`) }, () => undefined);
  all.push(each);
  return each;
}

test('one that is killed is started again, and not after it was stopped', async () => {
  const each = supervise('killed', 'exec sleep 600');
  await each.start(1_000);
  const first = each.state.pid;
  assert.ok(first !== null);
  process.kill(first, 'SIGKILL');
  const second = await until('it is started again', () => each.state.state === 'running' && each.state.pid !== first ? each.state.pid ?? undefined : undefined);
  assert.equal(each.state.restarts, 1);
  assert.equal(each.state.lastEnd, 'SIGKILL');
  const identity = identify(second);
  assert.ok(identity !== undefined);
  assert.equal((await until('its pid file is written', () => readPidFile(join(directory, 'killed.pid')))).pid, second);
  await each.stop();
  assert.ok(!isRunning(identity));
  assert.equal(each.state.state, 'stopped');
});

test('one that ends at once is tried again and again, and its words are in its log', async () => {
  const each = supervise('failing', 'echo "no luck"; exit 3');
  await each.start(1_000);
  await until('it was tried three times', () => each.state.restarts >= 3 || undefined);
  await each.stop();
  assert.equal(each.state.lastEnd, 'exit code 3');
  assert.ok((await readFile(join(directory, 'failing.log'), 'utf8')).split('\n').filter((line) => line === 'no luck').length >= 3);
});

test('one that cannot be started is told, and tried again', async () => {
  const each = new SupervisedProcess(
    { name: 'api', command: join(directory, 'nothing'), args: [], env: {}, graceMs: 1_000 },
    { pid: join(directory, 'nothing.pid'), log: join(directory, 'nothing.log') }, () => undefined);
  all.push(each);
  await each.start(1_000);
  await until('it was tried twice', () => each.state.restarts >= 2 || undefined);
  assert.match(each.state.lastEnd ?? '', /ENOENT/);
});

test('a successor ends what a dead supervisor left', async () => {
  const dead = supervise('leftover', 'exec sleep 600');
  await dead.start(1_000);
  const identity = await until('its pid file is written', () => readPidFile(join(directory, 'leftover.pid')));
  const successor = supervise('leftover', 'exec sleep 600');
  await successor.endLeftover();
  assert.ok(!isRunning(identity));
});

test('the next process waits until this one takes connections, a bounded time', async () => {
  let accepting = false;
  const each = supervise('slow', 'exec sleep 600', { accepts: () => Promise.resolve(accepting) });
  assert.equal(await each.start(200), false);
  await each.stop();
  accepting = true;
  assert.equal(await supervise('quick', 'exec sleep 600', { accepts: () => Promise.resolve(accepting) }).start(60_000), true);
});

test('one that is stopped while it is being started does not start', async () => {
  const each = supervise('unwanted', 'exec sleep 600');
  const starting = each.start(1_000);
  await each.stop();
  assert.equal(await starting, false);
  assert.deepEqual([each.state.state, each.state.pid], ['stopped', null]);
});

test('one that runs and is of no use any more is started again', async () => {
  let useless = true;
  const each = supervise('useless', 'exec sleep 600', { useless: () => Promise.resolve(useless) });
  await each.start(1_000);
  const first = each.state.pid;
  await until('it is started again', () => each.state.restarts > 0 || undefined);
  useless = false;
  const second = await until('it runs', () => each.state.state === 'running' && each.state.pid !== first ? each.state.pid ?? undefined : undefined);
  assert.equal(each.state.lastEnd, 'SIGTERM');
  await each.stop();
  assert.notEqual(second, first);
});
