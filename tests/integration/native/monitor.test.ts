// pouch-monitor with a fake guest in QEMU's place: the life of a machine and of its processes.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { op } from '../../fixtures/frames.ts';
import { TestMachine, text } from '../../fixtures/machine-monitor.ts';
import { ensureNative, temporaryDirectory } from '../../fixtures/native.ts';

before(ensureNative);

async function machine(t: TestContext): Promise<TestMachine> {
  const { path, remove } = await temporaryDirectory();
  const made = new TestMachine(path);
  t.after(async () => {
    await made.end();
    await remove();
  });
  return made;
}

test('boot, start, input to output, exit status', async (t) => {
  const vm = await machine(t);
  const monitor = await vm.boot({ args: ['cat'] });
  assert.equal(await monitor.ready, `ok ${monitor.child.pid}\n`);
  assert.equal(await readFile(join(vm.dir, 'init.pid'), 'utf8'), String(monitor.child.pid));
  assert.equal((await vm.status()).state, 'created');
  const client = vm.client();
  assert.equal((await client.start()).op, op.start);
  assert.equal((await vm.status()).state, 'running');
  monitor.stdin.end('hello\n');
  assert.equal(await text(monitor.stdout), 'hello\n');
  assert.equal(await monitor.exited, 0);
  const { state, exitCode, error } = await vm.status();
  assert.deepEqual({ state, exitCode, error }, { state: 'stopped', exitCode: 0, error: undefined });
});
