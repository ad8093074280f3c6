// The words of a machine: kernels, profiles, disks. Types only; it must not grow behaviour.

/** How a machine is put together. `modern`: microvm, virtio-mmio, PVH; `classic`: pc, virtio-pci; `bare`: pc with nothing but an 8250 serial port. */
export type Profile = 'modern' | 'classic' | 'bare';
export const profiles: readonly Profile[] = ['modern', 'classic', 'bare'];

export type Acceleration = 'kvm' | 'tcg';

/** What booting a kernel under one profile showed. */
export interface ProfileVerdict {
  readonly ok: boolean;
  /** Until the init's HELLO; null where it never came. */
  readonly bootMs: number | null;
  /** Features the kernel has not (`overlay`, `erofs`, `virtiofs`, `seccomp`, `multiport`), or why it did not come up. */
  readonly lacks: readonly string[];
  /** What it was booted with; records of earlier versions do not say. */
  readonly acceleration?: Acceleration;
  /** Which QEMU and machine it was booted with (`machineForm`); one of others does not hold any more. */
  readonly form?: string;
}

/** kernel.json of the store. */
export interface KernelRecord {
  readonly name: string;
  /** `sha256:…` over the image and the packed modules: what a template or a verdict is valid for. */
  readonly digest: string;
  /** `sha256:…` of the file that was added. */
  readonly sourceDigest: string;
  /** E.g. `6.1.0-56-cloud-amd64`; null where the image does not say. */
  readonly release: string | null;
  /** Of the stored image: a `vmlinux` has a PVH entry. */
  readonly format: 'vmlinux' | 'bzImage';
  /** Names of the packed modules in loading order. */
  readonly modules: readonly string[];
  /** sha256 of the pouch-init in `initrd`. */
  readonly initDigest: string;
  readonly profiles: Partial<Readonly<Record<Profile, ProfileVerdict>>>;
}

/** A kernel with the paths of its files, absolute. */
export interface Kernel extends KernelRecord {
  readonly imagePath: string;
  readonly initrdPath: string;
}

/** A disk of the machine, raw. The guest sees the first one as /dev/vda, the second as /dev/vdb… */
export interface Disk {
  /** QEMU's id of the drive, also its serial in the guest; at most 20 characters. */
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** Descriptor that whoever starts QEMU opens `path` on (QEMU's user may not reach the path itself); absent: QEMU opens the path. */
  readonly fd?: number;
}

/** A host directory shared by virtiofs, with the side process that serves it. */
export interface SharedDirectory {
  readonly tag: string;
  readonly directory: string;
  readonly socketPath: string;
}
