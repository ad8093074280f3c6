// A host and a container that asks for nothing, for the tests of this folder; each test says only what differs.
import assert from 'node:assert/strict';
import { buildSpec, capabilityNames, type HostFacts, type SpecInput } from '@pouch/oci';

/** Everything is there and allowed. */
export const ampleHost: HostFacts = {
  architecture: 'amd64', cgroupVersion: 2, cgroupControllers: ['cpu', 'cpuset', 'memory', 'pids', 'io'], limitsSwap: true, hasCapSysResource: true, oomScoreAdjMin: 0,
  maxRlimits: { nofile: 1024n }, kernelVersion: { major: 6, minor: 1 }, cpuCount: 4, memoryBytes: 8 * 2 ** 30, capabilities: capabilityNames,
};

export const plain: SpecInput = { args: ['true'], env: [], cwd: '', user: { uid: 0, gid: 0, additionalGids: [], home: '/root' }, hostname: 'h', tty: false, rootfsPath: 'rootfs' };

export function specOf(different: Partial<SpecInput>, host: Partial<HostFacts> = {}) {
  const outcome = buildSpec({ ...plain, ...different }, { ...ampleHost, ...host });
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.refusal.message);
  return outcome;
}

export function refusalOf(different: Partial<SpecInput>, host: Partial<HostFacts> = {}) {
  const outcome = buildSpec({ ...plain, ...different }, { ...ampleHost, ...host });
  assert.ok(!outcome.ok, 'it was accepted');
  return outcome.refusal;
}
