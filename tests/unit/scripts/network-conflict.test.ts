import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressesHere, networkConflict } from '../../../scripts/cluster/network-conflict.ts';

const wanted = { bridge: 'pouch0', subnet: '10.147.0.0/16' };

test('addresses that nobody has, and those of the same bridge from the last time, are fine', () => {
  assert.equal(networkConflict(wanted, []), null);
  assert.equal(networkConflict(wanted, [{ name: 'lo', address: '127.0.0.1', prefix: 8 }, { name: 'eth0', address: '192.0.2.2', prefix: 24 }, { name: 'eth0', address: '2001:db8::1', prefix: 64 }, { name: 'pouch0', address: '10.147.0.1', prefix: 16 }]), null);
});

test('a bridge with other addresses is told with what would do', () => {
  for (const [address, prefix] of [['10.9.0.1', 16], ['10.147.0.1', 24]] as const) {
    assert.match(networkConflict(wanted, [{ name: 'pouch0', address, prefix }]) ?? '', new RegExp(`^the bridge pouch0 has the address ${address}/${prefix} and is to have one of 10\\.147\\.0\\.0/16: .*ip link delete pouch0.*--bridge.*--subnet`));
  }
});

test('addresses that another interface has are refused; a wider network around them is not', () => {
  assert.equal(networkConflict(wanted, [{ name: 'eth1', address: '10.0.0.1', prefix: 8 }]), null);
  for (const [address, prefix] of [['10.147.3.4', 24], ['10.147.255.254', 32], ['10.147.0.1', 8]] as const) {
    assert.match(networkConflict(wanted, [{ name: 'eth1', address, prefix }]) ?? '', /^containers are to have the addresses 10\.147\.0\.0\/16, but this machine has .* on eth1: choose others with --subnet$/);
  }
  assert.notEqual(networkConflict({ bridge: 'pouch0', subnet: 'fd00:1::/64' }, [{ name: 'eth1', address: 'fd00:1::5', prefix: 64 }]), null);
});

test('this machine’s own addresses are read', async () => {
  const addresses = await addressesHere({ namespace: null });
  assert.ok(addresses.every(({ address, prefix }) => address !== '' && prefix > 0 && !address.startsWith('127.')));
});
