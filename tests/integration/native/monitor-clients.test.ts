// pouch-monitor's socket: many clients at once, their limits, and what a hostile client or a hostile guest can do.
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { before, test, type TestContext } from 'node:test';
import { dataMax, frame, initialCredit, op, record, spawnPayload, words } from '../../fixtures/frames.ts';
import { testMachine, type Monitor, type MonitorClient, type TestMachine } from '../../fixtures/machine-monitor.ts';
import { ensureNative, until } from '../../fixtures/native.ts';

before(ensureNative);

async function running(t: TestContext, args: readonly string[] = ['wait']): Promise<{ vm: TestMachine; monitor: Monitor; client: MonitorClient }> {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args });
  assert.match(await monitor.ready, /^ok /);
  const client = vm.client();
  assert.equal((await client.start()).op, op.start);
  return { vm, monitor, client };
}

async function end(monitor: Monitor, client: MonitorClient): Promise<void> {
  client.signal(1, 9);
  assert.equal(await monitor.exited, 137);
}

test('the socket is the owner\'s alone; requests of several clients are not mixed up', async (t) => {
  const { vm, monitor, client } = await running(t);
  assert.equal((await stat(vm.socket)).mode & 0o777, 0o600);
  const other = vm.client();
  // Both use the same number.
  for (const one of [client, other]) for (const operation of [op.ps, op.stats, op.ping]) one.send(operation, 0, words(7));
  for (const one of [client, other]) {
    assert.equal((await one.take(op.psReply)).payload.toString('latin1'), '\x07\0\0\0processes');
    assert.equal((await one.take(op.statsReply)).payload.toString('latin1'), '\x07\0\0\0figures');
    assert.deepEqual([...(await one.take(op.pong)).payload], [7, 0, 0, 0]);
    assert.equal(one.frames.length, 0);
  }
  client.send(op.update, 0, Buffer.from([1]));
  other.send(op.update, 0, Buffer.from([2]));
  await client.take(op.updated);
  assert.equal((await other.take(op.error)).payload.subarray(8).toString(), 'memory cannot change');
  await end(monitor, client);
});

test('a signal that fails is told to the one who sent it, before its next answer', async (t) => {
  const { vm, monitor, client } = await running(t);
  const other = vm.client();
  other.signal(9, 15);
  const refused = await other.take(op.error);
  assert.equal(refused.payload.readUInt32LE(0), 3);
  assert.match(refused.payload.subarray(8).toString(), /already finished/);
  other.send(op.spawn, 0, spawnPayload(['exit', '0']));
  await other.take(op.exited);
  await end(monitor, client);
});

test('a process awaits its program: its own client names it, once; it goes with its client', async (t) => {
  const { vm, monitor, client } = await running(t);
  const [owner, other] = [vm.client(), vm.client()];
  owner.send(op.spawn, 0, Buffer.concat([spawnPayload(['passed-over']), record(15, '')]));
  const { id } = await owner.take(op.awaiting);
  const errors = async (one: MonitorClient, send: () => void): Promise<string> => {
    send();
    return (await one.take(op.error)).payload.subarray(8).toString();
  };
  assert.match(await errors(owner, () => owner.send(op.stdin, id, Buffer.from('too early'))), /not ready yet/);
  assert.match(await errors(other, () => other.send(op.execute, id, record(1, 'wait'))), /not this connection/);
  owner.send(op.execute, id, Buffer.concat([record(3, '/'), record(1, 'cat')]));
  assert.equal((await owner.take(op.spawned)).id, id);
  assert.match(await errors(owner, () => owner.send(op.execute, id, record(1, 'wait'))), /not ready yet/);
  owner.send(op.stdin, id, Buffer.from('in time'));
  assert.equal((await owner.take(op.stdout)).payload.toString(), 'in time');
  owner.send(op.stdinClose, id);
  assert.deepEqual((await owner.take(op.exited)).payload, words(0, 0));

  other.send(op.spawn, 0, Buffer.concat([spawnPayload(['passed-over']), record(15, '')]));
  const second = (await other.take(op.awaiting)).id;
  assert.match(await errors(other, () => other.send(op.execute, second, record(1, 'no-such'))), /no such file/);
  other.send(op.spawn, 0, Buffer.concat([spawnPayload(['passed-over']), record(15, '')]));
  await other.take(op.awaiting);
  const processes = async (): Promise<string> => {
    client.send(op.ps, 0, words(1));
    return (await client.take(op.psReply)).payload.subarray(4).toString();
  };
  assert.equal(await processes(), 'processes and 1');
  other.socket.destroy();
  await until('its end', async () => ((await processes()) === 'processes' ? true : undefined));
  await end(monitor, client);
});

test('64 clients at once and no more; each may have one process, its own alone', async (t) => {
  const { vm, monitor, client } = await running(t);
  const clients = Array.from({ length: 63 }, () => vm.client());
  for (const one of clients) assert.equal((await one.state()).state, 'running');
  const tooMany = vm.client();
  const refused = await tooMany.take(op.error);
  assert.match(refused.payload.subarray(8).toString(), /too many clients/);
  await until('its end', () => tooMany.closed ? true : undefined);

  for (const one of clients) one.send(op.spawn, 0, spawnPayload(['wait']));
  const answers = await Promise.all(clients.map(async (one) => await one.take(op.spawned, op.error)));
  assert.equal(answers.filter((answer) => answer.op === op.spawned).length, 56);
  const ids = answers.filter((answer) => answer.op === op.spawned).map(({ id }) => id);
  assert.equal(new Set(ids).size, 56);

  const [first] = clients as [MonitorClient];
  first.send(op.spawn, 0, spawnPayload(['wait']));
  assert.equal((await first.take(op.error)).payload.readUInt32LE(0), 16);
  first.send(op.stdin, ids[1] ?? 0, Buffer.from('not mine'));
  assert.equal((await first.take(op.error)).payload.readUInt32LE(0), 1);
  // Some places stay free for those who want to end it all.
  await end(monitor, client);
  for (const [index, answer] of answers.entries()) {
    if (answer.op !== op.spawned) continue;
    const exited = await (clients[index] as MonitorClient).take(op.exited);
    assert.deepEqual([exited.id, exited.payload.readUInt32LE(0)], [answer.id, 137]);
  }
});

test('a client against the protocol loses its connection, the machine nothing', async (t) => {
  const { vm, monitor, client } = await running(t);
  const bad: Buffer[] = [
    frame(99, 0), frame(op.configured, 0), frame(op.signal, 1, words(1)), frame(op.stdin, 1, Buffer.alloc(dataMax + 1)),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.concat([words(0xffffffff), Buffer.from([op.spawn, 0, 0, 0]), words(0)]), Buffer.from([0, 0, 0, 0, op.state, 1, 0, 0, 0, 0, 0, 0]),
  ];
  for (const bytes of bad) {
    const one = vm.client();
    one.socket.write(bytes);
    await until('its end', () => one.closed ? true : undefined);
  }
  // More input than there is credit for.
  const greedy = vm.client();
  greedy.send(op.spawn, 0, spawnPayload(['deaf']));
  const { id } = await greedy.take(op.spawned);
  for (let sent = 0; sent <= initialCredit; sent += dataMax) greedy.send(op.stdin, id, Buffer.alloc(dataMax));
  await until('its end', () => greedy.closed ? true : undefined);
  // One that asks and never reads.
  const silent = vm.client();
  silent.socket.pause();
  const flood = Buffer.concat(Array.from({ length: 40_000 }, () => frame(op.state, 0)));
  for (let i = 0; i < 4; i += 1) silent.socket.write(flood);
  assert.equal((await client.state()).state, 'running');
  await end(monitor, client);
});

const header = (length: number, operation: number, id: number): string => Buffer.concat([words(length), Buffer.from([operation, 0, 0, 0]), words(id)]).toString('hex');
const whole = (operation: number, id: number, payload?: Buffer): string => frame(operation, id, payload).toString('hex');

test('a guest against the protocol ends its machine, with the reason', async (t) => {
  const cases: [string, RegExp][] = [
    [header(0xfffffff0, op.stdout, 1), /longer than its maximum/],
    [header(dataMax + 1, op.stdout, 1), /longer than its maximum/],
    [header(0, 77, 0), /may not send/],
    [header(0, op.start, 0), /may not send/],
    [whole(op.stdout, 5, Buffer.from('x')), /never was/],
    [whole(op.configured, 0), /configured twice/],
    [whole(op.spawned, 1, words(1)), /nobody asked for/],
    [whole(op.exited, 1, words(256, 0)), /exit status/],
    [whole(op.credit, 1, words(1, 5)), /sends itself/],
    [whole(op.credit, 1, words(0, 0xffffffff)), /more credit/],
    [whole(op.exited, 1), /shorter than its minimum/],
    ['000000002201000000000000', /zeros are not zero/],
  ];
  for (const [bytes, reason] of cases) {
    const { vm, monitor } = await running(t, ['raw', bytes]);
    assert.equal(await monitor.exited, 137);
    const { error } = await vm.status();
    assert.match(error ?? '', /^the guest broke the protocol: /);
    assert.match(error ?? '', reason);
  }
  const { vm, monitor, client } = await running(t, ['overrun']);
  await until('the reason', async () => (await client.state()).error);
  monitor.stdout.resume();
  assert.equal(await monitor.exited, 137);
  assert.match((await vm.status()).error ?? '', /beyond its credit/);

  const early = await testMachine(t);
  const booting = await early.boot({ mode: 'early' });
  assert.match(await booting.ready, /^error the guest broke the protocol: a frame before it is configured/);
  assert.equal(await booting.exited, 255);
});

test('answers to whoever greeted a machine before it was saved are passed over, a bounded number of them', async (t) => {
  const stale = whole(op.hello, 0, Buffer.concat([words(0x48435550, 2), Buffer.alloc(16, 7), words(0)]));
  const some = await running(t, ['raw', stale.repeat(20)]);
  assert.equal((await some.client.state()).state, 'running');
  await end(some.monitor, some.client);
  const many = await running(t, ['raw', stale.repeat(1_025)]);
  assert.equal(await many.monitor.exited, 137);
  assert.match((await many.vm.status()).error ?? '', /a greeting that nobody asked for/);
});

test('a guest that sends anything at all: the monitor ends it or goes on, and never crashes', async (t) => {
  const base = Math.floor(Math.random() * 2 ** 31);
  for (let round = 0; round < 12; round += 1) {
    const seed = base + round;
    t.diagnostic(`seed ${seed}`);
    const vm = await testMachine(t);
    const monitor = await vm.boot({ args: ['fuzz', String(seed)] });
    await monitor.ready;
    monitor.stdout.resume();
    monitor.stderr.resume();
    const client = vm.client();
    client.send(op.start);
    // Most seeds end it by themselves; a guest that has only fallen silent is ended after a while.
    await Promise.race([monitor.exited, delay(100)]);
    client.send(op.stopNow);
    const code = await monitor.exited;
    assert.ok(typeof code === 'number', `seed ${seed}: ${code}`);
    const { state, exitCode } = await vm.status();
    assert.deepEqual([state, exitCode], ['stopped', code], `seed ${seed}`);
  }
});
