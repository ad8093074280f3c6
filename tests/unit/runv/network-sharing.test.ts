// Which paths mean another one's network, what ports a guest then calls out from, and what it is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestPorts, isJoined, refuseHostNetwork, sharedRecords, sharingScript } from '../../../packages/runv/src/network-sharing.ts';

const shared = { link: 'eth0', mac: '02:00:00:00:00:05', addresses: ['10.1.2.3'], ports: [32_768, 60_999] } as const;

test('a process’s namespace is another one’s; a prepared one is its own', () => {
  assert.deepEqual(['/proc/17/ns/net', '/run/netns/x', undefined, '/proc/self/ns/net'].map(isJoined), [true, false, false, false]);
  assert.throws(() => refuseHostNetwork('/proc/self/ns/net'), /the host's network/);
  assert.throws(() => refuseHostNetwork('/proc/0/ns/net'), /^Failure: the network namespace \/proc\/0\/ns\/net cannot be joined: ENOENT/);
});

test('the guest calls out from ports that the others do not', () => {
  assert.deepEqual(guestPorts([32_768, 60_999]), [61_000, 65_535]);
  assert.deepEqual(guestPorts([20_000, 65_000]), [1_024, 19_999]);
  assert.throws(() => guestPorts([1_024, 65_535]), /ip_local_port_range 1024 65535/);
});

test('the guest is told the address, both ends of the link, its ports and the link', () => {
  assert.deepEqual(sharedRecords(shared).map((record) => record.toString('hex')), [`03000000140000000a010203a9fe4d02a9fe4d0148eeffff${Buffer.from('eth0').toString('hex')}`]);
});

test('the mark of all being there is made last', () => {
  assert.match(sharingScript(shared), /\nip addr replace 169\.254\.77\.1\/32 dev tap10$/);
});
