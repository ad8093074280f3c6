// The command line of a machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kernelParameters, maxDisks, qemuCommand, type Machine } from '../../../packages/runv/src/machine/qemu-command.ts';
import { passDescriptors } from '../../../packages/runv/src/machine/descriptors.ts';
import { profiles } from '../../../packages/runv/src/machine/types.ts';

const machine: Machine = {
  qemu: '/usr/bin/qemu-system-x86_64', profile: 'modern', acceleration: 'tcg', kernel: { imagePath: '/k/image', initrdPath: '/k/initrd' },
  memoryBytes: 256 << 20, vcpus: 2, tscKHz: 2_600_000,
  disks: [{ id: 'layer0', path: '/l/a.erofs', readOnly: true }, { id: 'scratch', path: '/s/b.img', readOnly: false }],
  nic: { mac: '52:54:00:12:34:56' }, shares: [],
  controlPath: '/r/control.sock', qmpPath: '/r/qmp.sock', consolePath: '/r/console.log', name: 'web',
};

/** Values of a switch, in order. */
const values = (argv: readonly string[], name: string): string[] => argv.flatMap((word, index) => (word === `-${name}` ? [argv[index + 1] ?? ''] : []));

test('every profile is shut in: no defaults, no reboot, no screen, the whole sandbox', () => {
  for (const profile of profiles) {
    const argv = qemuCommand({ ...machine, profile });
    for (const word of ['-nodefaults', '-no-user-config', '-no-reboot']) assert.ok(argv.includes(word), word);
    assert.deepEqual(values(argv, 'display'), ['none']);
    assert.deepEqual(values(argv, 'sandbox'), ['on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny']);
    assert.deepEqual(values(argv, 'm'), ['256M']);
    assert.deepEqual(values(argv, 'smp'), ['2']);
  }
});

test('an emulated processor has nothing that costs only there; with KVM it is the host\'s', () => {
  const processor = (acceleration: Machine['acceleration']): string[] => ['accel', 'cpu'].flatMap((name) => values(qemuCommand({ ...machine, acceleration }), name));
  assert.deepEqual(processor('tcg'), ['tcg,tb-size=128', 'max,erms=off,fsrm=off,la57=off']);
  assert.deepEqual(processor('kvm'), ['kvm', 'host']);
});

test('modern: microvm with virtio-mmio and a named port', () => {
  const argv = qemuCommand(machine);
  assert.match(values(argv, 'machine')[0] ?? '', /^microvm,acpi=on,rtc=on,pcie=off/);
  assert.deepEqual(values(argv, 'bios'), ['qboot.rom']);
  assert.deepEqual(values(argv, 'device'), [
    'virtio-serial-device', 'virtserialport,chardev=control,name=org.pouch.control',
    'virtio-blk-device,drive=layer0,serial=layer0', 'virtio-blk-device,drive=scratch,serial=scratch',
    'virtio-net-device,netdev=net0,mac=52:54:00:12:34:56',
  ]);
  assert.deepEqual(values(argv, 'netdev'), ['tap,id=net0,fd=10']);
  assert.ok(argv.includes('virtio-mmio.force-legacy=false'));
  assert.match(values(argv, 'append')[0] ?? '', /tsc_early_khz=2600000/);
});

test('classic: pc with virtio-pci; one port for kernels without multiport', () => {
  const argv = qemuCommand({ ...machine, profile: 'classic' });
  assert.match(values(argv, 'machine')[0] ?? '', /^pc,/);
  assert.ok(values(argv, 'device').includes('virtio-blk-pci,drive=layer0,serial=layer0'));
  const single = qemuCommand({ ...machine, profile: 'classic', singlePort: true });
  assert.ok(values(single, 'device').includes('virtconsole,chardev=control'));
  assert.match(values(single, 'append')[0] ?? '', /pouch\.control=hvc0/);
});

test('bare: two serial ports and nothing else', () => {
  const argv = qemuCommand({ ...machine, profile: 'bare', disks: [] });
  assert.deepEqual(values(argv, 'device'), []);
  assert.deepEqual(values(argv, 'serial'), ['chardev:console', 'chardev:control']);
  assert.deepEqual(values(argv, 'netdev'), []);
  assert.match(values(argv, 'append')[0] ?? '', /pouch\.control=ttyS1/);
});

test('layers are read-only and unlocked, the scratch disk is neither', () => {
  const [layer, scratch] = values(qemuCommand(machine), 'drive');
  assert.match(layer ?? '', /file\.filename=\/l\/a\.erofs,file\.locking=off,read-only=on/);
  assert.match(scratch ?? '', /read-only=off/);
  assert.doesNotMatch(scratch ?? '', /locking/);
});

test('disks that QEMU\'s user cannot reach come by descriptor', () => {
  const { disks, opens } = passDescriptors(machine.disks);
  assert.deepEqual(opens, [{ fd: 20, path: '/l/a.erofs', readOnly: true }, { fd: 21, path: '/s/b.img', readOnly: false }]);
  const argv = qemuCommand({ ...machine, disks });
  assert.deepEqual(values(argv, 'add-fd'), ['fd=20,set=20', 'fd=21,set=21']);
  assert.ok(values(argv, 'drive').every((drive) => /file\.filename=\/dev\/fdset\/2[01],/.test(drive)));
  assert.ok(!argv.some((word) => word.includes('/l/a.erofs')));
});

test('a shared directory makes the memory shared', () => {
  const argv = qemuCommand({ ...machine, shares: [{ tag: 'data', directory: '/d', socketPath: '/r/data.sock' }] });
  assert.deepEqual(values(argv, 'object'), ['memory-backend-memfd,id=ram,size=256M,share=on']);
  assert.match(values(argv, 'machine')[0] ?? '', /memory-backend=ram/);
  assert.ok(values(argv, 'device').includes('vhost-user-fs-device,chardev=share0,tag=data'));
});

test('what a name holds stays within its value', () => {
  const argv = qemuCommand({ ...machine, name: 'a,debug-threads=on', disks: [{ id: 'd', path: '/x,readonly=off', readOnly: true }] });
  assert.ok(values(argv, 'name')[0]?.startsWith('guest=a,,debug-threads=on,'));
  assert.match(values(argv, 'drive')[0] ?? '', /file\.filename=\/x,,readonly=off,/);
});

test('more disks than a machine can have are refused', () => {
  const disks = Array.from({ length: maxDisks + 1 }, (_, index) => ({ id: `d${index}`, path: `/d${index}`, readOnly: true }));
  assert.throws(() => qemuCommand({ ...machine, disks }), RangeError);
});

test('an unknown counter rate is not told to the guest; further words come last', () => {
  const parameters = kernelParameters({ profile: 'classic', tscKHz: 0, append: ['acpi=off', 'noapic'] });
  assert.doesNotMatch(parameters, /tsc_early_khz/);
  assert.match(parameters, / acpi=off noapic$/);
});
