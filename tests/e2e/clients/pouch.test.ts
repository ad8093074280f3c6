// `pouch` on a cluster of its own: the transcripts that users are promised, its commands on containers, the past, and the cluster's own.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { Clients, eventually, pouchProgram, unavailable, untilPrinted } from './clients.ts';
import { inTerminal } from './terminal.ts';

const skip = unavailable();
let on: Clients;

before(async () => { if (skip === false) on = new Clients(await startTestCluster()); });
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

const rows = (table: string): string[][] => table.split('\n').map((line) => line.trimEnd().split(/ {2,}/));

describe('what is promised', { skip }, () => {
  test('create, ps and start -i as in the transcripts', { skip: unavailable('script') }, async () => {
    const created = await on.p('create', '--name', 'hypervisor', 'docker.io/library/busybox:latest');
    const id = /^container ID: ([0-9a-f]{64}), name: hypervisor$/.exec(created)?.[1] ?? '';
    assert.ok(id !== '', created);
    const [head, row] = rows(await on.p('ps'));
    assert.deepEqual(head, ['Name', 'ID', 'Status', 'Image', 'Runtime']);
    assert.deepEqual([row?.[0], row?.[1], row?.[3], row?.[4]], ['hypervisor', id.slice(0, 6), 'docker.io/library/busybox:latest', 'runc']);
    assert.match(row?.[2] ?? '', /^[Cc]reated/);
    assert.equal(rows(await on.p('ps', '-f', 'status=running')).length, 1);

    const terminal = inTerminal(on, [pouchProgram, '-H', `unix://${on.cluster.socket}`, 'start', 'hypervisor', '-i'], { rows: 33, columns: 91 });
    await terminal.prompt();
    terminal.type('stty size; hostname\n');
    await terminal.printed('33 91');
    await terminal.printed(id.slice(0, 12));
    assert.match(rows(await on.p('ps', '-f', 'status=running'))[1]?.[2] ?? '', /^Up /);
    terminal.type('exit 3\n');
    assert.equal(await terminal.exitCode(), 3);
    assert.match(rows(await on.p('ps'))[1]?.[2] ?? '', /^Exited \(3\) /);
    await on.p('rm', 'hypervisor');
  });

  test('run prints output and ends with the exit code; input; -d; --rm', async () => {
    assert.equal(await on.p('run', '--rm', 'busybox', 'uname', '-s'), 'Linux');
    assert.deepEqual(await on.tryPouch(['run', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 7']), { code: 7, stdout: 'out\n', stderr: 'err\n' });
    assert.deepEqual(await on.tryPouch(['run', '-i', '--rm', '--network', 'none', 'busybox', 'wc', '-c'], 'x'.repeat(300_000)), { code: 0, stdout: '300000\n', stderr: '' });
    assert.match(await on.p('run', '-d', '--rm', '--name', 'short', '--network', 'none', 'busybox', 'true'), /^[0-9a-f]{64}$/);
    await eventually('it is gone', async () => rows(await on.p('ps')).length === 1);
    const unknown = await on.tryPouch(['run', '--runtime', 'nope', 'busybox', 'true']);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /^pouch: .*nope.*runc/);
  });

  test('run -it: a terminal, and its size when it changes', { skip: unavailable('script') }, async () => {
    const terminal = inTerminal(on, [pouchProgram, '-H', `unix://${on.cluster.socket}`, 'run', '-it', '--rm', '--network', 'none', 'busybox'], { rows: 22, columns: 66 });
    await terminal.prompt();
    terminal.type('stty size\n');
    await terminal.printed('22 66');
    await terminal.resize({ rows: 40, columns: 120 });
    await eventually('the new size is there', async () => {
      terminal.type('stty size\n');
      await delay(200);
      return terminal.text().includes('40 120');
    });
    terminal.type('exit\n');
    assert.equal(await terminal.exitCode(), 0);
  });
});

describe('commands on containers', { skip }, () => {
  test('a life by pouch alone', async () => {
    await on.p('run', '-d', '--name', 'life', '--network', 'none', '-m', '64m', 'busybox', 'sh', '-c', 'trap "exit 5" TERM; echo one; echo two; while :; do sleep 0.1; done');
    await eventually('it has written', async () => (await on.p('logs', 'life')) === 'one\ntwo');
    assert.equal(await on.p('logs', '--tail', '1', 'life'), 'two');
    assert.match(await on.p('logs', '-t', '-n', '1', 'life'), /^\d{4}-\S+Z two$/);
    assert.equal(await on.p('exec', '-e', 'A=b', '-w', '/tmp', 'life', 'sh', '-c', 'echo $A $PWD'), 'b /tmp');
    assert.equal((await on.tryPouch(['exec', 'life', 'sh', '-c', 'exit 42'])).code, 42);
    assert.equal((await on.tryPouch(['exec', '-i', 'life', 'cat'], 'in')).stdout, 'in');
    assert.match(await on.p('top', 'life'), /PID/);
    assert.equal(await on.p('inspect', '-f', '{{.State.Status}} {{json .HostConfig.Memory}}', 'life'), 'running 67108864');
    await on.p('pause', 'life');
    assert.match(await on.p('ps', '-f', 'name=life', '--format', '{{.Name}}: {{.Status}}'), /^life: Up .*\(Paused\)$/);
    await on.p('unpause', 'life');
    await on.p('rename', 'life', 'other-life');
    await on.p('restart', 'other-life');
    const waiting = on.pouch('wait', 'other-life');
    await on.p('stop', 'other-life');
    assert.match((await waiting.ended).stdout, /\b5\b/);
    const refused = await on.tryPouch(['kill', 'other-life']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^pouch: .*is not running/);
    await on.p('rm', 'other-life');
    assert.match((await on.tryPouch(['rm', 'other-life'])).stderr, /No such container: other-life/);
    const items = await on.p('ps', '--format', 'json');
    assert.equal(items, '');
  });

  test('version and info', async () => {
    assert.match(await on.p('version'), /1\.43/);
    assert.match(await on.p('info'), /runc/);
    assert.equal(await on.p('info', '--format', '{{.DefaultRuntime}}'), 'runc');
  });
});

describe('the past', { skip }, () => {
  test('ps --at and inspect --at tell how it was, events what happened', async () => {
    const begun = new Date().toISOString();
    await delay(20);
    const id = await on.p('run', '-d', '--name', 'once', '--network', 'none', 'busybox', 'sleep', '1000');
    await delay(20);
    const midway = new Date().toISOString();
    await delay(20);
    await on.p('rm', '-f', 'once');
    assert.ok(!(await on.p('ps')).includes('once'));
    assert.ok(!(await on.p('ps', '--at', begun)).includes('once'));
    const [, row] = rows(await on.p('ps', '--at', midway));
    assert.deepEqual([row?.[0], row?.[1]], ['once', id.slice(0, 6)]);
    assert.match(row?.[2] ?? '', /[Rr]unning|Up/);
    const [past] = JSON.parse(await on.p('inspect', '--at', midway, 'once')) as [object];
    assert.ok(JSON.stringify(past).includes(id) && JSON.stringify(past).includes('"running"'));
    assert.notEqual((await on.tryPouch(['inspect', '--at', begun, 'once'])).code, 0);
    const events = await on.p('events', '--since', begun, '--until', '0s', '-f', 'container=once', '--format', '{{.Action}}');
    assert.deepEqual(events.split('\n').filter((action) => ['create', 'start', 'die', 'destroy'].includes(action)), ['create', 'start', 'die', 'destroy']);
  });
});

describe('the cluster', { skip }, () => {
  test('hosts, events as they happen, verify, rebuild', async () => {
    const [head, row] = rows(await on.p('cluster', 'hosts'));
    assert.equal(head?.[0], 'Host');
    assert.deepEqual(row?.slice(0, 2), ['test-host', 'up']);

    const following = on.pouch('cluster', 'events');
    await eventually('the stream is open', async () => {
      await on.p('run', '--rm', '--name', 'watched', '--network', 'none', 'busybox', 'true');
      return following.stdout().includes('ContainerRemoved');
    });
    await untilPrinted(following, 'ContainerStarted');
    following.child.kill('SIGINT');
    await following.ended;

    assert.match(await on.p('cluster', 'verify'), /^Log and projection agree: /);
    assert.match(await on.p('cluster', 'rebuild'), /^Rebuilt from \d+ messages/);
    assert.match(await on.p('cluster', 'verify'), /^Log and projection agree: /);
    assert.ok(!(await on.p('ps')).includes('watched'));
  });
});
