// What runv reads of the host and of its callers: addresses and routes, cgroup paths, command lines, settings, signals.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArguments } from '../../../packages/runv/src/arguments.ts';
import { cgroupPath, parseCgroupMounts } from '../../../packages/runv/src/cgroups.ts';
import { parseConfig } from '../../../packages/runv/src/config.ts';
import { parseGlobals } from '../../../packages/runv/src/globals.ts';
import { configText } from '../../../packages/runv/src/monitor-config.ts';
import { addressBytes, guestNetwork, tapName } from '../../../packages/runv/src/network.ts';
import { decodeRecords } from '../../../packages/runv/src/protocol/records.ts';
import { parseSignal } from '../../../packages/runv/src/signals.ts';

test('addresses of both families', () => {
  assert.equal(addressBytes('10.0.0.7').toString('hex'), '0a000007');
  assert.equal(addressBytes('fd00::1:2').toString('hex'), 'fd000000000000000000000000010002');
  assert.equal(addressBytes('::').toString('hex'), '0'.repeat(32));
  assert.equal(addressBytes('::ffff:1.2.3.4').toString('hex'), '00000000000000000000ffff01020304');
  for (const wrong of ['1.2.3', '1.2.3.256', 'fd00:1', '1:2:3:4:5:6:7:8:9']) assert.throws(() => addressBytes(wrong), RangeError);
});

test('the namespace\'s link, addresses and routes, those without a gateway first', () => {
  const link = { ifname: 'eth0', link_type: 'ether', address: 'aa:bb:cc:dd:ee:ff', mtu: 1400, addr_info: [{ family: 'inet', local: '10.1.0.2', prefixlen: 16, scope: 'global' }, { family: 'inet6', local: 'fe80::1', prefixlen: 64, scope: 'link' }] };
  const network = guestNetwork([{ ifname: 'lo', link_type: 'loopback' }, link], [{ dst: 'default', gateway: '10.1.0.1', dev: 'eth0' }, { dst: '10.1.0.0/16', dev: 'eth0', protocol: 'kernel' }, { dst: '10.9.0.0/24', dev: 'eth0' }], []);
  assert.deepEqual([network?.link, network?.mac], ['eth0', 'aa:bb:cc:dd:ee:ff']);
  assert.deepEqual(network?.records.flatMap((bytes) => decodeRecords(bytes)).map(({ tag, bytes }) => `${tag} ${bytes.toString('hex')}`), [
    `10 78050000aabbccddeeff0000${Buffer.from('eth0').toString('hex')}`, '11 041000000a010002' + '65746830', '12 04180000' + '0a09000000000000' + '65746830', '12 04000000' + '000000000a010001' + '65746830',
  ]);
  assert.equal(guestNetwork([{ ifname: 'lo', link_type: 'loopback' }], [], []), undefined);
  assert.throws(() => guestNetwork([link, { ...link, ifname: 'eth1' }], [], []), /eth0, eth1: a virtual machine has one network interface/);
  const tun = { link_type: 'ether', linkinfo: { info_kind: 'tun' } };
  assert.throws(() => guestNetwork([link, { ...tun, ifname: tapName }], [], []), /is that of another virtual machine \(tap10 is there\)/);
  assert.equal(guestNetwork([link, { ...tun, ifname: 'vpn0' }], [], [])?.link, 'eth0');
});

test('cgroup paths in every form, and the mounts they are below', () => {
  assert.equal(cgroupPath('/pouch/a', 'a'), '/pouch/a');
  assert.equal(cgroupPath(undefined, 'a'), '/runv/a');
  assert.equal(cgroupPath('a-b.slice:libpod:x', 'x'), '/a.slice/a-b.slice/libpod-x.scope');
  assert.throws(() => cgroupPath('/a/../..', 'a'), /leads upwards/);
  assert.deepEqual(parseCgroupMounts('1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n2 3 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n'), [
    { point: '/sys/fs/cgroup/cpu', unified: false, controllers: ['cpu', 'cpuacct'] }, { point: '/sys/fs/cgroup/unified', unified: true, controllers: [] },
  ]);
});

test('runc\'s command lines', () => {
  assert.deepEqual(parseGlobals(['--root', '/r', '--log=l', '--log-format', 'json', '--systemd-cgroup', 'kill', '--all', 'x', '9']).args, ['--all', 'x', '9']);
  assert.throws(() => parseGlobals(['--colour', 'red', 'kill']), /flag provided but not defined: -colour/);
  const parsed = parseArguments(['-d', '--pid-file', 'p', 'x', 'sh', '-c', 'y'], { flags: ['detach'], values: ['pid-file'], alias: { d: 'detach' }, greedyAfter: 1 });
  assert.deepEqual([[...parsed.flags], parsed.values.get('pid-file'), parsed.rest], [['detach'], 'p', ['x', 'sh', '-c', 'y']]);
});

test('settings: over the defaults, unknown and wrong ones refused by name', () => {
  assert.equal(parseConfig('{"memoryBytes":1048576}', 'f').memoryBytes, 1 << 20);
  assert.throws(() => parseConfig('{"colour":1}', 'f'), /there is no setting "colour"/);
  assert.throws(() => parseConfig('{"profile":"fast"}', 'f'), /profile cannot be "fast"/);
});

test('signals by name and number; a line end cannot get into the monitor\'s configuration', () => {
  assert.deepEqual(['15', 'TERM', 'SIGKILL', 'RTMIN+1'].map(parseSignal), [15, 15, 9, 35]);
  assert.throws(() => parseSignal('FOO'), /unknown signal/);
  assert.throws(() => configText([['socket', 'a\nuid 0']]), /line end/);
});
