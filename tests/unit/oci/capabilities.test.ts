// Which capabilities a container gets, for what was asked and what the host has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { capabilityNames, defaultCapabilities } from '@pouch/oci';
import { ampleHost, refusalOf, specOf } from './given.ts';

const bounding = (different: Parameters<typeof specOf>[0], host: Parameters<typeof specOf>[1] = {}) => specOf(different, host).spec.process.capabilities.bounding;

test('nothing asked: Docker\'s fourteen', () => {
  assert.equal(defaultCapabilities.length, 14);
  assert.deepEqual(bounding({}), defaultCapabilities);
});

test('names with and without CAP_, in any case', () => {
  assert.ok(bounding({ capAdd: ['net_admin'] }).includes('CAP_NET_ADMIN'));
  assert.ok(!bounding({ capDrop: ['Cap_Chown'] }).includes('CAP_CHOWN'));
});

test('ALL: added without the dropped ones; dropped but for the added ones', () => {
  assert.deepEqual(bounding({ capAdd: ['ALL'], capDrop: ['SYS_ADMIN'] }), capabilityNames.filter((name) => name !== 'CAP_SYS_ADMIN'));
  assert.deepEqual(bounding({ capDrop: ['ALL'], capAdd: ['KILL'] }), ['CAP_KILL']);
  assert.deepEqual(bounding({ capDrop: ['ALL'] }), []);
});

test('privileged: all that the host has, with a warning of what it lacks', () => {
  const capabilities = capabilityNames.filter((name) => name !== 'CAP_SYS_RESOURCE');
  const { spec, warnings } = specOf({ privileged: true }, { capabilities });
  assert.deepEqual(spec.process.capabilities.bounding, capabilities);
  assert.match(warnings.join(), /CAP_SYS_RESOURCE/);
});

test('a kernel that does not know the newest capabilities lacks nothing', () => {
  assert.deepEqual(specOf({ privileged: true }, { capabilities: capabilityNames.slice(0, 38) }).warnings, []);
});

test('asked for by name, a capability that the host lacks is refused by name', () => {
  const refusal = refusalOf({ capAdd: ['SYS_TIME'] }, { capabilities: ampleHost.capabilities.filter((name) => name !== 'CAP_SYS_TIME') });
  assert.deepEqual([refusal.code, refusal.field], ['bad-parameter', 'HostConfig.CapAdd']);
  assert.match(refusal.message, /CAP_SYS_TIME/);
  assert.match(refusalOf({ capDrop: ['WINGS'] }).message, /unknown capability: "WINGS"/);
});

test('only root holds capabilities; nobody inherits any', () => {
  const web = specOf({ user: { uid: 33, gid: 33, additionalGids: [], home: '/' } }).spec.process.capabilities;
  assert.deepEqual(web, { bounding: [...defaultCapabilities], effective: [], permitted: [], inheritable: [], ambient: [] });
  const root = specOf({}).spec.process.capabilities;
  assert.deepEqual([root.effective, root.permitted, root.inheritable, root.ambient], [root.bounding, root.bounding, [], []]);
});

test('whatever is asked, a container never has more than its host', () => {
  const some = fc.subarray([...capabilityNames]);
  fc.assert(fc.property(some, some, some, fc.boolean(), fc.boolean(), (has, add, drop, all, privileged) => {
    const onHost = add.filter((name) => has.includes(name));
    const got = bounding({ capAdd: all ? ['ALL', ...onHost] : onHost, capDrop: drop, privileged }, { capabilities: has });
    assert.deepEqual(got.filter((name) => !has.includes(name)), []);
    assert.equal(new Set(got).size, got.length);
  }));
});
