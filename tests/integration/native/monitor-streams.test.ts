// pouch-monitor: standard streams and terminals, of a machine's process and of exec'd ones.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { before, test } from 'node:test';
import { initialCredit, op } from '../../fixtures/frames.ts';
import { lives, testMachine, text } from '../../fixtures/machine-monitor.ts';
import { ensureNative, until } from '../../fixtures/native.ts';

before(ensureNative);

/** Reads all, with pauses; checks the fake guest's pattern; returns how many bytes came. */
async function slowly(stream: Readable): Promise<number> {
  let total = 0;
  for await (const chunk of stream) {
    const bytes = chunk as Buffer;
    for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== (total + i) % 251) assert.fail(`byte ${total + i} is wrong`);
    // A pause for every MiB or so: the pipe and every buffer behind it fill up meanwhile.
    if (Math.floor(total / 1e6) !== Math.floor((total + bytes.length) / 1e6)) await delay(30);
    total += bytes.length;
  }
  return total;
}

const size = 10 * 1024 * 1024;

test('10 MB through a slow reader, by stdout and by stderr', async (t) => {
  for (const command of ['flood', 'flood-stderr']) {
    const vm = await testMachine(t);
    const monitor = await vm.boot({ args: [command, String(size)] });
    await monitor.ready;
    await vm.client().start();
    assert.equal(await slowly(command === 'flood' ? monitor.stdout : monitor.stderr), size);
    assert.equal(await monitor.exited, 0);
  }
});

test('output that nobody reads stops at its credit, and nothing of it is lost', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['flood', String(size)] });
  await monitor.ready;
  const client = vm.client();
  await client.start();
  // The machine answers while its output is stuck.
  for (let i = 0; i < 20; i += 1) {
    client.send(op.ping, 0, Buffer.from([i, 0, 0, 0]));
    assert.equal((await client.take(op.pong)).payload[0], i);
  }
  assert.equal(await slowly(monitor.stdout), size);
  assert.equal(await monitor.exited, 0);
});

test('a reader that goes away does not hold up the process', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['flood', String(size)] });
  await monitor.ready;
  monitor.stdout.destroy();
  await vm.client().start();
  assert.equal(await monitor.exited, 0);
});

test('input: 2 MB through, an end, /dev/null, and none', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['cat'] });
  await monitor.ready;
  await vm.client().start();
  const sent = Buffer.alloc(2 << 20, 'abcdefghij');
  monitor.stdin.end(sent);
  assert.equal((await text(monitor.stdout)) === sent.toString(), true);
  assert.equal(await monitor.exited, 0);

  const empty = await testMachine(t);
  const nothing = await empty.boot({ args: ['cat'], stdin: 'null' });
  await nothing.ready;
  await empty.client().start();
  assert.equal(await nothing.exited, 0);

  const unread = await testMachine(t);
  const ignoring = await unread.boot({ args: ['cat'], stdin: 0 });
  await ignoring.ready;
  const client = unread.client();
  await client.start();
  ignoring.stdin.end('not read');
  client.signal(1, 9);
  assert.equal(await ignoring.exited, 137);
  assert.equal(await text(ignoring.stdout), '');
});

test('input is read only as far as there is credit', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['deaf'] });
  await monitor.ready;
  const client = vm.client();
  await client.start();
  monitor.stdin.write(Buffer.alloc(1 << 20));
  let told = '';
  monitor.stdout.on('data', (chunk: Buffer) => { told += chunk.toString(); });
  const total = (): number => told.split(';').reduce((sum, part) => sum + Number(part), 0);
  await until('all that there is credit for', () => total() >= initialCredit ? true : undefined);
  client.signal(1, 9);
  assert.equal(await monitor.exited, 137);
  assert.equal(total(), initialCredit);
});

test('exec: streams, exit status, pid file, signals to its own pid', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'] });
  await monitor.ready;
  await vm.client().start();

  const cat = await vm.exec(['cat']);
  assert.equal(await cat.ready, `ok ${cat.child.pid}\n`);
  assert.equal(await readFile(cat.pidFile, 'utf8'), String(cat.child.pid));
  cat.stdin.end('through exec');
  assert.equal(await text(cat.stdout), 'through exec');
  assert.equal(await cat.exited, 0);

  const flood = await vm.exec(['flood', String(size)]);
  assert.equal(await slowly(flood.stdout), size);
  assert.equal(await flood.exited, 0);

  assert.equal(await (await vm.exec(['exit', '33'])).exited, 33);

  const missing = await vm.exec(['no-such-command']);
  assert.equal(await missing.ready, 'error no-such-command: no such file\n');
  assert.equal(await missing.exited, 255);

  const waiting = await vm.exec(['wait']);
  await waiting.ready;
  waiting.child.kill('SIGTERM');
  assert.equal(await waiting.exited, 143);

  // The first process is still there, and the machine with it.
  vm.client().signal(1, 10);
  assert.equal(await monitor.exited, 138);
  const late = await vm.exec(['exit', '0']);
  assert.match(await late.ready, /^error container not running/);
});

test('an exec whose monitor is killed is killed in the guest', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'] });
  await monitor.ready;
  const client = vm.client();
  await client.start();
  const exec = await vm.exec(['stubborn']);
  await exec.ready;
  exec.child.kill('SIGTERM');
  await until('its answer', () => exec.stdout.read() === null ? undefined : true);
  exec.child.kill('SIGKILL');
  await exec.exited;
  // Its id is 2; once the guest has ended it there is no such process.
  await until('its end in the guest', async () => {
    client.signal(2, 15);
    client.send(op.ping, 0, Buffer.alloc(4));
    return (await client.take(op.pong, op.error)).op === op.error ? true : undefined;
  });
  client.signal(1, 9);
  assert.equal(await monitor.exited, 137);
});

/** Listens on a console socket as a shim does, keeps the master, copies it to and from its own stdio; `size R C` on fd 3 sets its size. */
const consoleScript = `
import array, fcntl, os, select, socket, struct, sys, termios
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(1)
os.write(1, b'listening\\n')
connection, _ = listener.accept()
name, ancillary, _, _ = connection.recvmsg(4096, 1024)
descriptors = array.array('i'); descriptors.frombytes(ancillary[0][2][:4]); master = descriptors[0]
os.write(1, name + b'\\n')
while True:
    for fd in select.select([0, master, 3], [], [])[0]:
        try: data = os.read(fd, 65536)
        except OSError: sys.exit(0)
        if not data: sys.exit(0)
        if fd == 0: os.write(master, data)
        elif fd == master: os.write(1, data)
        else: fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', *map(int, data.split()), 0, 0))
`;

function shim(socket: string): { stdin: NodeJS.WritableStream; said: () => string; resize: (rows: number, columns: number) => void; kill: () => void; exited: Promise<unknown> } {
  const child = spawn('python3', ['-c', consoleScript, socket], { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => { output += chunk.toString('latin1'); });
  const control = child.stdio[3] as NodeJS.WritableStream;
  return {
    stdin: child.stdin as NodeJS.WritableStream, said: () => output, resize: (rows, columns) => { control.write(`${rows} ${columns}`); }, kill: () => { child.kill('SIGKILL'); },
    exited: once(child, 'exit'),
  };
}

const hasPython = await once(spawn('python3', ['-c', ''], { stdio: 'ignore' }), 'exit').then(([code]) => code === 0, () => false);
const skip = hasPython ? false : 'the shim in these tests is written in Python, which is not here';

test('a terminal: sent as runc sends it, raw, resized by its master', { skip }, async (t) => {
  const vm = await testMachine(t);
  const console_ = shim(join(vm.dir, 'console.sock'));
  t.after(console_.kill);
  await until('the console socket', () => console_.said() === '' ? undefined : true);
  const monitor = await vm.boot({ args: ['size'], tty: [24, 80] });
  assert.match(await monitor.ready, /^ok /);
  assert.equal(console_.said(), 'listening\n/dev/ptmx\n');
  await vm.client().start();
  await until('the first size', () => console_.said().includes('24x80;') ? true : undefined);
  console_.resize(50, 132);
  await until('the new size', () => console_.said().includes('50x132;') ? true : undefined);
  console_.stdin.write('\x03\nq');
  assert.equal(await monitor.exited, 0);
  await console_.exited;
  assert.equal(console_.said(), 'listening\n/dev/ptmx\n24x80;50x132;');
});

test('a terminal of an exec, and the size that it has before the start', { skip }, async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['wait'] });
  await monitor.ready;
  const client = vm.client();
  await client.start();
  const path = join(vm.dir, 'exec-console.sock');
  const console_ = shim(path);
  t.after(console_.kill);
  await until('the console socket', () => console_.said() === '' ? undefined : true);
  const exec = await vm.exec(['cat'], { tty: [0, 0], lines: [`console-socket ${path}`] });
  assert.match(await exec.ready, /^ok /);
  console_.stdin.write('typed\x03\r\n');
  await until('the echo of cat', () => console_.said().endsWith('typed\x03\r\n') ? true : undefined);
  // The terminal is taken away: the process gets SIGHUP.
  console_.kill();
  assert.equal(await exec.exited, 129);
  client.signal(1, 9);
  assert.equal(await monitor.exited, 137);
  assert.equal(lives(monitor.child.pid as number), false);
});

test('STOP_NOW ends a machine whose output nobody takes', async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ args: ['flood', String(size)] });
  await monitor.ready;
  const client = vm.client();
  await client.start();
  client.send(op.stopNow);
  await client.take(op.stopNow);
  assert.equal(await monitor.exited, 137);
  await until('its end', () => client.closed ? true : undefined);
});
