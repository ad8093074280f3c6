// The client of QEMU's monitor against a server that answers as QEMU does, and one that does not.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { MachineError, type MachineErrorCode } from '../../../packages/runv/src/machine/errors.ts';
import { Qmp } from '../../../packages/runv/src/machine/qmp.ts';

type Command = { execute: string; arguments?: Record<string, unknown>; id: number };

const greeting = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}\r\n';
const code = (expected: MachineErrorCode) => (error: unknown): boolean => error instanceof MachineError && error.code === expected;

/** A server at a path of its own; `answer` gets each command. */
async function serve(t: TestContext, answer: (socket: Socket, command: Command) => void): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-qmp-'));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // the client may go first
    socket.write(greeting);
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString();
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        answer(socket, JSON.parse(text.slice(0, end)) as Command);
        text = text.slice(end + 1);
      }
    });
  });
  const path = join(directory, 'qmp.sock');
  await new Promise<void>((listening) => server.listen(path, listening));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(directory, { recursive: true, force: true });
  });
  return path;
}

const ok = (socket: Socket, id: number, value: unknown = {}): boolean => socket.write(`${JSON.stringify({ return: value, id })}\r\n`);

test('commands are answered in their order, and events between answers are passed over', async (t) => {
  const seen: string[] = [];
  const path = await serve(t, (socket, { execute, arguments: args, id }) => {
    seen.push(args === undefined ? execute : `${execute} ${JSON.stringify(args)}`);
    socket.write('{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}\r\n');
    ok(socket, id, execute === 'query-status' ? { status: 'paused', running: false } : {});
  });
  const qmp = await Qmp.connect(path);
  const [, status] = await Promise.all([qmp.stop(), qmp.status(), qmp.blockResize('scratch', 1024)]);
  assert.equal(status, 'paused');
  await qmp.cont();
  assert.deepEqual(seen, ['qmp_capabilities', 'stop', 'query-status', 'block_resize {"device":"scratch","size":1024}', 'cont']);
  qmp.close();
});

test('a refusal is told in QEMU\'s words, and the next command goes through', async (t) => {
  const path = await serve(t, (socket, { execute, id }) => {
    if (execute === 'cont') socket.write(`${JSON.stringify({ error: { class: 'GenericError', desc: 'Resetting the VM is required' }, id })}\n`);
    else ok(socket, id);
  });
  const qmp = await Qmp.connect(path);
  await assert.rejects(qmp.cont(), (error) => code('qmp-failed')(error) && /refused cont: Resetting/.test((error as Error).message));
  await qmp.stop();
  qmp.close();
});

test('silence ends with the limit, and a late answer is not taken for the next command\'s', async (t) => {
  let late: (() => void) | undefined;
  const path = await serve(t, (socket, { execute, id }) => {
    if (execute === 'stop') late = () => void ok(socket, id, { of: 'stop' });
    else {
      late?.();
      ok(socket, id, { of: execute });
    }
  });
  const qmp = await Qmp.connect(path);
  await assert.rejects(qmp.execute('stop', undefined, 50), code('qmp-timeout'));
  assert.deepEqual(await qmp.execute('cont'), { of: 'cont' });
  qmp.close();
});

test('a QEMU that ends, talks nonsense or without end fails the command', async (t) => {
  const endings: ((socket: Socket) => void)[] = [
    (socket) => void socket.destroy(),
    (socket) => void socket.write('no JSON\n'),
    (socket) => void socket.write('x'.repeat(2 << 20)),
  ];
  for (const ending of endings) {
    const path = await serve(t, (socket, { execute, id }) => { if (execute === 'stop') ending(socket); else ok(socket, id); });
    const qmp = await Qmp.connect(path);
    await assert.rejects(qmp.stop(), code('qmp-failed'));
    await assert.rejects(qmp.cont(), code('qmp-failed'));
    qmp.close();
  }
  await assert.rejects(Qmp.connect('/nowhere/qmp.sock'), code('qmp-failed'));
});

test('a migration is waited for, and its failure told', async (t) => {
  let asked = 0;
  const path = await serve(t, (socket, { execute, id }) => ok(socket, id, execute === 'query-migrate' ? (asked++ < 2 ? { status: 'active' } : asked < 4 ? { status: 'completed' } : { status: 'failed', 'error-desc': 'no room' }) : {}));
  const qmp = await Qmp.connect(path);
  await qmp.migrateTo('/state.sock', 10_000);
  await assert.rejects(qmp.migrateFrom(20, 10_000), (error) => code('qmp-failed')(error) && /failed: no room/.test((error as Error).message));
  qmp.close();
});
