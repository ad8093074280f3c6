// The command line of a machine's QEMU: one struct per switch, named as QEMU names it. Pure; it must not look at the host.
import { assertNever } from './errors.ts';
import type { Acceleration, Disk, Kernel, Profile, SharedDirectory } from './types.ts';

/** The tap's descriptor in QEMU: the monitor opens it there. */
export const tapFd = 10;
/** Name of the virtio-serial port that the guest's init looks for (VM_PORT_NAME). */
export const portName = 'org.pouch.control';
/** microvm has 24 virtio-mmio slots (two IO-APICs); port, NIC and shares take the rest. */
export const maxDisks = 20;

export interface Machine {
  /** Of QEMU, absolute. */
  readonly qemu: string;
  readonly profile: Profile;
  readonly acceleration: Acceleration;
  readonly kernel: Pick<Kernel, 'imagePath' | 'initrdPath'>;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** Of the host's time stamp counter; 0: unknown. Without it a quarter of the boots under TCG hang while the guest measures it. */
  readonly tscKHz: number;
  readonly disks: readonly Disk[];
  /** Absent: the machine has no NIC. */
  readonly nic?: { readonly mac: string };
  readonly shares: readonly SharedDirectory[];
  readonly controlPath: string;
  readonly qmpPath: string;
  readonly consolePath: string;
  /** Shown by `ps`; not trusted to be harmless. */
  readonly name: string;
  /** One virtio-console instead of a named port, for kernels before 2.6.35 and those that lack multiport. Only with `classic`. */
  readonly singlePort?: boolean;
  /** The memory as a file: shared with it while a template is made, copied on write by a template's clones. */
  readonly memoryFile?: { readonly path: string; readonly share: boolean };
  /** Waits for the state of another machine instead of booting (QMP migrate-incoming). */
  readonly incoming?: boolean;
  /** A NIC without a tap: of a template. */
  readonly unplugged?: boolean;
  /** Words after the kernel's own parameters, e.g. `acpi=off noapic`. */
  readonly append?: readonly string[];
}

/** One switch: its name without the dash, a plain value first, then properties in order. Booleans become on and off. */
interface Switch {
  readonly name: string;
  readonly value?: string;
  readonly properties?: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** A comma within a value is doubled (QEMU's keyval syntax). */
const escaped = (value: string): string => value.replaceAll(',', ',,');

function render({ name, value, properties = {} }: Switch): string[] {
  const texts = Object.entries(properties).filter(([, one]) => one !== undefined).map(([key, one]) => `${key}=${typeof one === 'boolean' ? (one ? 'on' : 'off') : escaped(String(one))}`);
  const parts = [...(value === undefined ? [] : [value]), ...texts];
  return parts.length === 0 ? [`-${name}`] : [`-${name}`, parts.join(',')];
}

const plain = (name: string, value?: string): Switch => (value === undefined ? { name } : { name, value });
const device = (driver: string, properties: Switch['properties'] = {}): Switch => ({ name: 'device', value: driver, properties });

/** The kernel's command line. The console is a serial port that only prints: its output is the reason when a boot fails. */
export function kernelParameters({ profile, tscKHz, singlePort = false, append = [] }: Pick<Machine, 'profile' | 'tscKHz' | 'singlePort' | 'append'>): string {
  return [
    'console=ttyS0', 'quiet', 'loglevel=4', 'reboot=t', 'panic=-1', 'rdinit=/init',
    // A fifth of the boot under TCG: self-tests of ciphers, path-based access control that nobody configures, a check of the emulated timer.
    'cryptomgr.notests', 'lsm=landlock,yama', 'audit=0', 'no_timer_check',
    ...(tscKHz > 0 ? [`tsc_early_khz=${tscKHz}`] : []),
    ...(profile === 'modern' ? ['pci=off'] : []),
    // Where the control channel is no named port: the init then takes this terminal for it.
    ...(profile === 'bare' ? ['pouch.control=ttyS1'] : singlePort ? ['pouch.control=hvc0'] : []),
    ...append,
  ].join(' ');
}

function machineSwitch({ profile, shares, memoryFile }: Machine): Switch {
  const memoryBackend = shares.length > 0 || memoryFile !== undefined ? 'ram' : undefined;
  switch (profile) {
    case 'modern':
      // RTC: the guest's clock before the host sets it. The ISA port is the console; PIT and PIC are for the kernel's early timers.
      return { name: 'machine', value: 'microvm', properties: { acpi: true, rtc: true, pcie: false, usb: false, 'isa-serial': true, ioapic2: true, graphics: false, 'memory-backend': memoryBackend } };
    case 'classic':
    case 'bare':
      return { name: 'machine', value: 'pc', properties: { usb: false, vmport: false, graphics: false, 'memory-backend': memoryBackend } };
    default:
      return assertNever(profile);
  }
}

/** A virtio device's driver under the profile's bus; `pc` offers the legacy interface too, for kernels before virtio 1.0. */
const virtio = (profile: Profile, kind: 'blk' | 'net' | 'serial' | 'fs'): string => {
  const bus = profile === 'modern' ? 'device' : 'pci';
  return kind === 'fs' ? `vhost-user-fs-${bus}` : `virtio-${kind}-${bus}`;
};

function diskSwitches(machine: Machine): Switch[] {
  return machine.disks.flatMap((disk) => [
    {
      name: 'drive',
      properties: {
        if: 'none', id: disk.id, format: 'raw',
        'file.driver': 'file',
        'file.filename': disk.fd === undefined ? disk.path : `/dev/fdset/${disk.fd}`,
        // Layers are shared by many machines and never written; a lock on each would only cost descriptors.
        'file.locking': disk.readOnly ? false : undefined,
        'read-only': disk.readOnly,
        // Else QEMU opens it for reading until its guest runs, and QEMU 10's clones then meet the lock that they hold themselves by that first descriptor.
        'auto-read-only': disk.readOnly ? undefined : false,
        // The host's page cache holds one copy of a layer for all machines; a guest's flush still reaches the host's disk.
        cache: 'writeback', aio: 'threads',
        discard: disk.readOnly ? undefined : 'unmap',
      },
    },
    device(virtio(machine.profile, 'blk'), { drive: disk.id, serial: disk.id }),
  ]);
}

function fdSwitches(machine: Machine): Switch[] {
  return machine.disks.flatMap(({ fd }) => (fd === undefined ? [] : [{ name: 'add-fd', properties: { fd, set: fd } }]));
}

function shareSwitches(machine: Machine): Switch[] {
  return machine.shares.flatMap(({ tag, socketPath }, index) => [
    { name: 'chardev', value: 'socket', properties: { id: `share${index}`, path: socketPath } },
    device(virtio(machine.profile, 'fs'), { chardev: `share${index}`, tag }),
  ]);
}

function controlSwitches(machine: Machine): Switch[] {
  const chardev: Switch = { name: 'chardev', value: 'socket', properties: { id: 'control', path: machine.controlPath, server: true, wait: false } };
  if (machine.profile === 'bare') return [chardev, plain('serial', 'chardev:control')]; // ttyS1: the console is ttyS0
  if (machine.singlePort === true) return [chardev, device(virtio(machine.profile, 'serial'), { max_ports: 1 }), device('virtconsole', { chardev: 'control' })];
  return [chardev, device(virtio(machine.profile, 'serial')), device('virtserialport', { chardev: 'control', name: portName })];
}

function memorySwitches({ memoryFile, shares }: Machine, mebibytes: number): Switch[] {
  const size = `${mebibytes}M`;
  if (memoryFile !== undefined) return [{ name: 'object', value: 'memory-backend-file', properties: { id: 'ram', size, 'mem-path': memoryFile.path, share: memoryFile.share } }];
  // Shared with virtiofsd, which reads and writes the guest's memory itself.
  return shares.length > 0 ? [{ name: 'object', value: 'memory-backend-memfd', properties: { id: 'ram', size, share: true } }] : [];
}

/** MiB of translated code that an emulated machine keeps; without a bound QEMU takes a gibibyte (1.3 GB were seen after many execs), which counts as the container's memory. */
const translatedMiB = 128;

function accelerator({ acceleration }: Machine): Switch {
  return { name: 'accel', value: acceleration, properties: { 'tb-size': acceleration === 'tcg' ? translatedMiB : undefined } };
}

function processor({ acceleration }: Machine): Switch {
  switch (acceleration) {
    case 'kvm':
      return plain('cpu', 'host');
    case 'tcg':
      // A kernel that believes in fast string operations copies and clears memory byte by byte, each of them emulated; a fifth level of page tables is walked at each miss.
      return { name: 'cpu', value: 'max', properties: { erms: false, fsrm: false, la57: false } };
    default:
      return assertNever(acceleration);
  }
}

/** Every switch of a machine, in order. */
export function qemuSwitches(machine: Machine): Switch[] {
  if (machine.disks.length > maxDisks) throw new RangeError(`${machine.disks.length} disks are more than the ${maxDisks} that a machine can have`);
  const memory = Math.max(1, Math.round(machine.memoryBytes / 2 ** 20));
  return [
    { name: 'name', properties: { guest: machine.name, process: 'runv-qemu' } },
    plain('nodefaults'),
    plain('no-user-config'),
    plain('no-reboot'),
    plain('display', 'none'),
    { name: 'sandbox', value: 'on', properties: { obsolete: 'deny', elevateprivileges: 'deny', spawn: 'deny', resourcecontrol: 'deny' } },
    machineSwitch(machine),
    accelerator(machine),
    processor(machine),
    plain('smp', String(machine.vcpus)),
    plain('m', `${memory}M`),
    ...memorySwitches(machine, memory),
    // Named, because microvm's default differs: Debian 13's is SeaBIOS, under which the guest finds no ACPI tables and so no devices (QEMU 10.0.13).
    ...(machine.profile === 'modern' ? [plain('bios', 'qboot.rom'), { name: 'global', value: 'virtio-mmio.force-legacy=false' }] : []),
    plain('kernel', machine.kernel.imagePath),
    plain('initrd', machine.kernel.initrdPath),
    plain('append', kernelParameters(machine)),
    { name: 'chardev', value: 'file', properties: { id: 'console', path: machine.consolePath } },
    plain('serial', 'chardev:console'),
    { name: 'chardev', value: 'socket', properties: { id: 'qmp', path: machine.qmpPath, server: true, wait: false } },
    { name: 'mon', properties: { chardev: 'qmp', mode: 'control' } },
    ...fdSwitches(machine),
    ...controlSwitches(machine),
    ...diskSwitches(machine),
    ...(machine.nic === undefined || machine.profile === 'bare' ? [] : [
      machine.unplugged === true ? { name: 'netdev', value: 'hubport', properties: { id: 'net0', hubid: 0 } } : { name: 'netdev', value: 'tap', properties: { id: 'net0', fd: tapFd } },
      device(virtio(machine.profile, 'net'), { netdev: 'net0', mac: machine.nic.mac, ...(machine.profile === 'modern' ? {} : { romfile: '' }) }),
    ]),
    ...(machine.profile === 'bare' ? [] : shareSwitches(machine)),
    ...(machine.incoming === true ? [plain('incoming', 'defer')] : []),
  ];
}

/** QEMU's argv, argv[0] being its path. */
export function qemuCommand(machine: Machine): string[] {
  return [machine.qemu, ...qemuSwitches(machine).flatMap(render)];
}
