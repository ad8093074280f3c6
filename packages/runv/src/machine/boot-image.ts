// Tells what a kernel file is, and takes the vmlinux out of a bzImage (kernel Documentation/arch/x86/boot.rst).
// It must not write anything; a file is bytes in, bytes out.
import { compressionOf, decompress } from './decompress.ts';
import { hasPvhEntry, isElf } from './elf.ts';
import { MachineError } from './errors.ts';

export interface BootImage {
  /** What to boot: a vmlinux with a PVH entry wherever one can be had (.3–.5 s quicker), else the bzImage as it came. */
  readonly bytes: Buffer;
  readonly format: 'vmlinux' | 'bzImage';
  readonly sourceFormat: 'vmlinux' | 'bzImage';
  readonly release: string | null;
}

const setupSectors = 0x1f1;
const headerMagic = 0x202;
const protocolVersion = 0x206;
const kernelVersion = 0x20e;
const payloadOffset = 0x248;
const payloadLength = 0x24c;

const isBzImage = (file: Buffer): boolean => file.length > 0x250 && file.readUInt16LE(0x1fe) === 0xaa55 && file.subarray(headerMagic, headerMagic + 4).toString('latin1') === 'HdrS';

/** The release in a bzImage's header, e.g. `6.1.0-56-cloud-amd64`; null when it has none. */
function bzImageRelease(file: Buffer): string | null {
  const at = file.readUInt16LE(kernelVersion);
  if (at === 0 || at + 0x200 >= file.length) return null;
  const text = file.subarray(at + 0x200, Math.min(at + 0x200 + 256, file.length)).toString('latin1');
  return /^[\w.+~-]+/.exec(text)?.[0] ?? null;
}

/** The release in a vmlinux's banner. */
function vmlinuxRelease(file: Buffer): string | null {
  const at = file.indexOf('Linux version ');
  if (at < 0) return null;
  return /^Linux version ([\w.+~-]+)/.exec(file.subarray(at, at + 200).toString('latin1'))?.[1] ?? null;
}

/** Reads a kernel file. Throws `bad-kernel` with what it is instead. */
export async function readBootImage(file: Buffer): Promise<BootImage> {
  if (isElf(file)) {
    if (!hasPvhEntry(file)) throw new MachineError('bad-kernel', 'this vmlinux has no PVH entry (CONFIG_PVH, kernels from 5.0) and cannot be booted by itself; give the bzImage (vmlinuz) instead');
    return { bytes: file, format: 'vmlinux', sourceFormat: 'vmlinux', release: vmlinuxRelease(file) };
  }
  if (!isBzImage(file)) throw new MachineError('bad-kernel', `this is neither a bzImage (vmlinuz) nor a vmlinux for x86: ${file.length} bytes beginning with ${file.subarray(0, 4).toString('hex') || 'nothing'}`);
  const release = bzImageRelease(file);
  const vmlinux = await extractVmlinux(file);
  return vmlinux !== undefined && hasPvhEntry(vmlinux)
    ? { bytes: vmlinux, format: 'vmlinux', sourceFormat: 'bzImage', release }
    : { bytes: file, format: 'bzImage', sourceFormat: 'bzImage', release };
}

/** The ELF file that a bzImage carries; undefined when its header is too old to say where, or its compression is not known here. */
async function extractVmlinux(file: Buffer): Promise<Buffer | undefined> {
  if (file.readUInt16LE(protocolVersion) < 0x208) return undefined;
  const start = ((file.readUInt8(setupSectors) || 4) + 1) * 512 + file.readUInt32LE(payloadOffset);
  const end = start + file.readUInt32LE(payloadLength);
  if (end > file.length || start >= end) throw new MachineError('bad-kernel', 'this bzImage is cut short: its payload ends beyond the file');
  const payload = file.subarray(start, end);
  const compression = compressionOf(payload);
  if (compression === undefined) return isElf(payload) ? payload : undefined;
  // gzip ends with the uncompressed length itself; the build appends it to all others.
  const stream = compression === 'gzip' ? payload : payload.subarray(0, payload.length - 4);
  try {
    return await decompress(stream, compression);
  } catch (error) {
    if (error instanceof MachineError && error.code === 'missing-program') return undefined; // the bzImage boots too, only slower
    throw error;
  }
}
