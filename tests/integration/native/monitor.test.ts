// pouch-monitor with a fake guest in QEMU's place: the life of a machine, from its boot to every way it can end.
import assert from 'node:assert/strict';
import { access, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { op, words } from '../../fixtures/frames.ts';
import { lives, testMachine, text } from '../../fixtures/machine-monitor.ts';
import { ensureNative, until } from '../../fixtures/native.ts';

before(ensureNative);

test('boot, start, input to output, exit status', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['cat'] });
  assert.equal(await monitor.ready, `ok ${monitor.child.pid}\n`);
  assert.equal(await readFile(join(vm.dir, 'init.pid'), 'utf8'), String(monitor.child.pid));
  assert.equal((await vm.status()).state, 'created');
  const client = vm.client();
  assert.equal((await client.start()).op, op.start);
  assert.equal((await vm.status()).state, 'running');
  assert.equal((await client.state()).guestPid, 101);
  monitor.stdin.end('hello\n');
  assert.equal(await text(monitor.stdout), 'hello\n');
  assert.equal(await monitor.exited, 0);
  const { state, exitCode, error } = await vm.status();
  assert.deepEqual({ state, exitCode, error }, { state: 'stopped', exitCode: 0, error: undefined });
  await assert.rejects(access(vm.socket), 'the socket is taken away');
});

test('a serial line may be noisy before the greeting', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['exit', '42'], mode: 'noisy' });
  assert.match(await monitor.ready, /^ok /);
  await vm.client().start();
  assert.equal(await monitor.exited, 42);
});

test('a second START is refused, and so is one before the machine has booted', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'] });
  assert.match(await monitor.ready, /^ok /);
  const client = vm.client();
  assert.equal((await client.start()).op, op.start);
  const again = await vm.client().start();
  assert.equal(again.op, op.error);
  assert.equal(again.payload.readUInt32LE(0), 114);
  assert.match(again.payload.subarray(8).toString(), /started already/);
  client.signal(1, 15);
  assert.equal(await monitor.exited, 143);

  const silent = await testMachine(t);
  const booting = await silent.boot({ mode: 'silent' });
  // The socket is there a moment before it takes connections.
  const early = await until('its socket answers', async () => await silent.client().start().catch(() => undefined));
  assert.equal(early.payload.readUInt32LE(0), 11);
  silent.client().send(op.stopNow);
  assert.match(await booting.ready, /^error stopped while it booted/);
  assert.equal(await booting.exited, 255);
});

test('a command that is not there: START is refused, 127', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['no-such-command'] });
  assert.match(await monitor.ready, /^ok /);
  const answer = await vm.client().start();
  assert.equal(answer.op, op.error);
  assert.equal(answer.payload.readUInt32LE(0), 2);
  assert.equal(answer.payload.subarray(8).toString(), 'no-such-command: no such file');
  assert.equal(await monitor.exited, 127);
  assert.equal((await vm.status()).error, 'no-such-command: no such file');
});

test('a guest that never answers: the time-out names the last lines of the console', async (t) => {
  const vm = await testMachine(t);
  await writeFile(join(vm.dir, 'console.log'), 'first\n\x1b[1mKernel panic\x1b[0m - not syncing\r\nRebooting "now"\n');
  const monitor = await vm.boot({ mode: 'silent', lines: ['boot-timeout-ms 700'] });
  const line = await monitor.ready;
  assert.match(line, /^error the guest did not answer within 700 ms.*Kernel panic - not syncing \| Rebooting "now"\n$/);
  assert.equal(await monitor.exited, 255);
  const { state, exitCode, error } = await vm.status();
  assert.deepEqual([state, exitCode, error], ['stopped', 255, line.slice('error '.length).trim()]);
});

test('QEMU that ends early, cannot be run, or a guest that refuses: the reason is told', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ mode: 'crash' });
  assert.match(await monitor.ready, /^error QEMU ended by itself with status 1: qemu: could not open disk image\n$/);
  assert.equal(await monitor.exited, 255);

  const refusing = await testMachine(t);
  const refused = await refusing.boot({ mode: 'refuse' });
  assert.match(await refused.ready, /^error no overlay in this kernel/);
  assert.equal(await refused.exited, 255);

  const missing = await testMachine(t);
  const absent = await missing.boot({ lines: ['side /no/such/virtiofsd'] });
  assert.match(await absent.ready, /^error \/no\/such\/virtiofsd cannot be run: No such file or directory/);
  assert.equal(await absent.exited, 255);
});

test('a configuration with an unknown key or a wrong value is refused', async (t) => {
  for (const [line, reason] of [['colour red', /there is no key 'colour'/], ['tty 2', /tty cannot be '2'/], ['tap tap0', /lacks netns/]] as const) {
    const vm = await testMachine(t);
    const monitor = await vm.boot({ lines: [line] });
    assert.match(await monitor.ready, reason);
    assert.equal(await monitor.exited, 255);
  }
});

test('kill -9 of QEMU ends the machine with 137 and a reason; a status of its own with 255', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'] });
  await monitor.ready;
  await vm.client().start();
  process.kill((await vm.status()).qemuPid as number, 'SIGKILL');
  assert.equal(await monitor.exited, 137);
  assert.match((await vm.status()).error ?? '', /^QEMU was killed by signal 9/);

  const other = await testMachine(t);
  const dying = await other.boot({ args: ['die', '3'] });
  await dying.ready;
  await writeFile(join(other.dir, 'console.log'), 'Kernel panic: attempted to kill init\n');
  other.client().send(op.start);
  assert.equal(await dying.exited, 255);
  assert.match((await other.status()).error ?? '', /^QEMU ended by itself with status 3.*console: Kernel panic: attempted to kill init$/);
});

test('kill -9 of the monitor ends QEMU and the side processes', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'], lines: ['side /bin/sleep', 'side-arg 600', 'side /bin/sh', 'side-arg -c', 'side-arg sleep 600'] });
  assert.match(await monitor.ready, /^ok /);
  const qemu = (await vm.status()).qemuPid as number;
  const children = (await readFile(`/proc/${monitor.child.pid}/task/${monitor.child.pid}/children`, 'utf8')).trim().split(' ').map(Number);
  assert.equal(children.length, 3);
  assert.ok(children.includes(qemu));
  monitor.child.kill('SIGKILL');
  await monitor.exited;
  await until('the end of its children', () => children.some(lives) ? undefined : true);
});

test('a side process that ends takes the machine with it, and leaves none behind', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'], lines: ['side /bin/sleep', 'side-arg 600', 'side /bin/sleep', 'side-arg 601'] });
  await monitor.ready;
  await vm.client().start();
  const qemu = (await vm.status()).qemuPid as number;
  const children = (await readFile(`/proc/${monitor.child.pid}/task/${monitor.child.pid}/children`, 'utf8')).trim().split(' ').map(Number);
  process.kill(children.find((pid) => pid !== qemu) as number, 'SIGKILL');
  assert.equal(await monitor.exited, 255);
  assert.match((await vm.status()).error ?? '', /serves the machine's volumes/);
  assert.deepEqual(children.filter(lives), []);
});

test('what the guest sent before QEMU ended counts', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['exit-and-die', '9'] });
  await monitor.ready;
  vm.client().send(op.start);
  assert.equal(await text(monitor.stdout), 'last words\n');
  assert.equal(await monitor.exited, 9);
});

test('the end of the first process ends the others, and output held open by them', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['linger'] });
  await monitor.ready;
  const exec = await vm.exec(['wait']);
  assert.equal(await exec.ready, `ok ${exec.child.pid}\n`);
  // Read from before the start: Node drops what is unread when a child exits.
  const output = text(monitor.stdout);
  await vm.client().start();
  assert.equal(await output, 'first\n');
  assert.equal(await monitor.exited, 3);
  assert.equal(await exec.exited, 137);
});

test('POWEROFF, STOP_NOW, and a guest that does not power off', async (t) => {
  const soft = await testMachine(t);
  const softly = await soft.boot({ args: ['wait'] });
  await softly.ready;
  await soft.client().start();
  soft.client().send(op.poweroff, 0, words(100));
  assert.equal(await softly.exited, 137);
  assert.equal((await soft.status()).error, undefined);

  const hard = await testMachine(t);
  const hardly = await hard.boot({ args: ['wait'] });
  await hardly.ready;
  await hard.client().start();
  const client = hard.client();
  client.send(op.stopNow);
  await client.take(op.stopNow);
  assert.equal(await hardly.exited, 137);

  const deaf = await testMachine(t);
  const ending = await deaf.boot({ args: ['exit', '5'], mode: 'no-poweroff', lines: ['poweroff-timeout-ms 200'] });
  await ending.ready;
  await deaf.client().start();
  assert.equal(await ending.exited, 5);
  assert.equal((await deaf.status()).error, undefined);
});

test('a signal before START ends the machine as it would end a process', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot();
  await monitor.ready;
  const client = vm.client();
  client.signal(1, 28);
  client.signal(1, 15);
  client.send(op.ping, 0, words(1));
  await client.take(op.pong);
  assert.equal(await monitor.exited, 143);
});

test('signals to the monitor itself do nothing; out of memory is told', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['oom'] });
  await monitor.ready;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGPIPE'] as const) monitor.child.kill(signal);
  await vm.client().start();
  assert.equal(await monitor.exited, 137);
  const { exitCode, oomKilled } = await vm.status();
  assert.deepEqual([exitCode, oomKilled], [137, true]);
});

test('files are opened for QEMU and inherited by their numbers; one that is not there is told', async (t) => {
  const vm = await testMachine(t);
  const disk = join(vm.dir, 'disk with a space');
  await writeFile(disk, 'sectors');
  const monitor = await vm.boot({ lines: [`open 20 ro ${disk}`, `open 21 rw ${disk}`, 'open 100 ro /dev/null'] });
  assert.match(await monitor.ready, /^ok /);
  const { qemuPid } = await vm.status();
  for (const [fd, path, flags] of [[20, disk, '0'], [21, disk, '2'], [100, '/dev/null', '0']] as const) {
    assert.equal(await readlink(`/proc/${qemuPid}/fd/${fd}`), path);
    assert.match(await readFile(`/proc/${qemuPid}/fdinfo/${fd}`, 'utf8'), new RegExp(`^flags:\\t0[0-7]*${flags}$`, 'm'));
  }
  vm.client().send(op.stopNow);
  assert.equal(await monitor.exited, 137);

  for (const [line, reason] of [['open 20 ro /no/such/disk', /\/no\/such\/disk: No such file/], ['open 3 ro /dev/null', /open cannot be/], ['open 20 wo /dev/null', /open cannot be/]] as const) {
    const other = await testMachine(t);
    const failing = await other.boot({ lines: [line] });
    assert.match(await failing.ready, reason);
    assert.equal(await failing.exited, 255);
  }
});
