// runv features: what this runtime can do (features.md).
import { guestMountTypes } from '../spec-to-guest.ts';

export function run(): number {
  const features = {
    ociVersionMin: '1.0.0', ociVersionMax: '1.0.2', hooks: ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'], mountOptions: ['bind', 'rbind', 'ro', 'rw', 'nosuid', 'nodev', 'noexec'],
    linux: { namespaces: ['cgroup', 'ipc', 'mount', 'network', 'pid', 'uts'], cgroup: { v1: true, v2: true, systemd: false }, seccomp: { enabled: false }, apparmor: { enabled: false }, selinux: { enabled: false } },
    annotations: { 'io.pouch.runv.mounts': guestMountTypes.join(','), 'io.pouch.runv.version': '0.1.0' },
  };
  process.stdout.write(`${JSON.stringify(features, null, 2)}\n`);
  return 0;
}
