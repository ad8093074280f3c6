// The api as a process: it serves what it can without the log, ends in order on SIGTERM, and says what is wrong with its configuration.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../fixtures/nats.ts';

const program = join(import.meta.dirname, '../../../services/api/src/main.ts');

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function status(socketPath: string, path: string): Promise<number | null> {
  return await new Promise((resolve) => {
    const asked = request({ socketPath, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.on('error', () => resolve(null));
    asked.end();
  });
}

test('without NATS it serves reads; SIGTERM ends it in order although a client is still listening', { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-main-'));
  const socket = join(directory, 'run', 'api.sock');
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'ignore', 'pipe'], env: { POUCH_NATS_URL: `nats://127.0.0.1:${await freePort()}`, POUCH_DATA_DIR: directory, POUCH_SOCKET: socket } });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => { log += String(chunk); });
  try {
    const deadline = Date.now() + 60_000;
    while ((await status(socket, '/_ping')) !== 200) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`it does not serve: ${log.slice(-2_000)}`);
      await delay(50);
    }
    assert.equal(await status(socket, '/containers/json'), 200);
    const events = request({ socketPath: socket, path: '/events', agent: false });
    events.on('error', () => undefined);
    events.end();
    await once(events, 'response');
    child.kill('SIGTERM');
    assert.equal(await ended(child), 0, log.slice(-2_000));
    assert.equal(await status(socket, '/_ping'), null);
  } finally {
    child.kill('SIGKILL');
    await ended(child);
    await rm(directory, { recursive: true, force: true });
  }
});

test('a bad configuration is told in words and with an exit code of its own', { timeout: 60_000 }, async () => {
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'ignore', 'pipe'], env: { POUCH_TCP: '0.0.0.0:2375' } });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => { log += String(chunk); });
  await once(child, 'close');
  assert.equal(child.exitCode, 78);
  assert.match(log, /^pouch-api: POUCH_TCP: 0\.0\.0\.0 is not a loopback address: it needs TLS with client verification/);
});
