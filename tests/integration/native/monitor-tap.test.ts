// pouch-monitor's tap in a network namespace made for the test: frames pass between it and the link both ways.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readlink } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { op } from '../../fixtures/frames.ts';
import { testMachine } from '../../fixtures/machine-monitor.ts';
import { ensureNative } from '../../fixtures/native.ts';

const run = promisify(execFile);

before(ensureNative);
// Made below, at once, whatever becomes of the tests; where it could not be made there is nothing to take away.
after(async () => { await tried('ip', ['netns', 'del', name]); });

async function tried(command: string, args: readonly string[]): Promise<boolean> {
  return await run(command, args).then(() => true, () => false);
}

const name = `pouch-test-${process.pid}`;
const usable = process.getuid?.() === 0 && await tried('ip', ['netns', 'add', name])
  && await tried('ip', ['-n', name, 'link', 'add', 'eth0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'outside'])
  && await tried('ip', ['-n', name, 'tuntap', 'add', 'probe', 'mode', 'tap'])
  && await tried('tc', ['-n', name, 'qdisc', 'add', 'dev', 'eth0', 'ingress']);
const skip = usable ? false : 'it needs root, network namespaces, veth, taps and tc';

test('a tap beside the link, redirected both ways, gone with the machine', { skip }, async (t) => {
  const ip = async (...args: string[]): Promise<string> => (await run('ip', ['-n', name, ...args])).stdout;
  const filters = async (link: string): Promise<string> => (await run('tc', ['-n', name, 'filter', 'show', 'dev', link, 'ingress'])).stdout;
  await ip('link', 'set', 'eth0', 'up');
  await ip('link', 'set', 'outside', 'up');

  const vm = await testMachine(t);
  // The qdisc that is there already stands for one of a monitor that was killed.
  const monitor = await vm.boot({ args: ['wait'], lines: [`netns /run/netns/${name}`, 'tap pouchtap', 'mac 02:00:00:00:00:01'] });
  assert.match(await monitor.ready, /^ok /);
  assert.match(await ip('link', 'show', 'pouchtap'), /<[A-Z,_]*\bUP\b.* mtu 1400 /);
  assert.match(await filters('eth0'), /match 00000000\/00000000[\s\S]*Egress Redirect to device pouchtap/);
  assert.match(await filters('pouchtap'), /match 00000000\/00000000[\s\S]*Egress Redirect to device eth0/);
  const { qemuPid } = await vm.status();
  assert.match(await readlink(`/proc/${qemuPid}/fd/10`), /net\/tun/);
  assert.equal(await readlink(`/proc/${monitor.child.pid}/ns/net`), await readlink(`/proc/${qemuPid}/ns/net`));

  const client = vm.client();
  await client.start();
  client.send(op.stopNow);
  assert.equal(await monitor.exited, 137);
  await assert.rejects(ip('link', 'show', 'pouchtap'));
  assert.equal(await filters('eth0'), '');

  // A link that is not there is told by name.
  const other = await testMachine(t);
  const failing = await other.boot({ lines: [`netns /run/netns/${name}`, 'tap pouchtap', 'link eth7'] });
  assert.equal(await failing.ready, 'error network: eth7: No such device\n');
  assert.equal(await failing.exited, 255);
});

test('without a way in, the reason is told', { skip }, async (t) => {
  const vm = await testMachine(t);
  const monitor = await vm.boot({ lines: ['netns /run/netns/pouch-test-none', 'tap pouchtap'] });
  assert.match(await monitor.ready, /^error network namespace \/run\/netns\/pouch-test-none: No such file/);
  assert.equal(await monitor.exited, 255);
});
