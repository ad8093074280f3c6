// Reads what is needed of ELF files: the PVH note of a vmlinux and the .modinfo of a kernel module.
// Pure; it must not trust an offset or count of the file: everything is checked against the buffer's end.

const ptNote = 4;
const xenPhys32Entry = 18; // XEN_ELFNOTE_PHYS32_ENTRY, xen/include/public/elfnote.h

interface Header { readonly is64: boolean; readonly phoff: number; readonly phentsize: number; readonly phnum: number; readonly shoff: number; readonly shentsize: number; readonly shnum: number; readonly shstrndx: number }

export const isElf = (file: Buffer): boolean => file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[5] === 1;

function header(file: Buffer): Header | undefined {
  if (!isElf(file)) return undefined;
  const is64 = file[4] === 2;
  return {
    is64,
    phoff: is64 ? Number(file.readBigUInt64LE(32)) : file.readUInt32LE(28),
    shoff: is64 ? Number(file.readBigUInt64LE(40)) : file.readUInt32LE(32),
    phentsize: file.readUInt16LE(is64 ? 54 : 42),
    phnum: file.readUInt16LE(is64 ? 56 : 44),
    shentsize: file.readUInt16LE(is64 ? 58 : 46),
    shnum: file.readUInt16LE(is64 ? 60 : 48),
    shstrndx: file.readUInt16LE(is64 ? 62 : 50),
  };
}

const slice = (file: Buffer, offset: number, size: number): Buffer | undefined =>
  Number.isSafeInteger(offset) && Number.isSafeInteger(size) && offset >= 0 && size >= 0 && offset + size <= file.length ? file.subarray(offset, offset + size) : undefined;

/** Whether a vmlinux says where a PVH boot enters it (kernels from 5.0 with CONFIG_PVH): QEMU can then start it without a boot protocol of its own. */
export function hasPvhEntry(file: Buffer): boolean {
  const elf = header(file);
  if (elf === undefined) return false;
  for (let index = 0; index < elf.phnum; index++) {
    const entry = slice(file, elf.phoff + index * elf.phentsize, elf.is64 ? 56 : 32);
    if (entry === undefined) return false;
    if (entry.readUInt32LE(0) !== ptNote) continue;
    const notes = elf.is64 ? slice(file, Number(entry.readBigUInt64LE(8)), Number(entry.readBigUInt64LE(32))) : slice(file, entry.readUInt32LE(4), entry.readUInt32LE(16));
    for (let at = 0; notes !== undefined && at + 12 <= notes.length;) {
      const nameSize = notes.readUInt32LE(at);
      const size = notes.readUInt32LE(at + 4);
      const type = notes.readUInt32LE(at + 8);
      if (type === xenPhys32Entry && notes.subarray(at + 12, at + 15).toString('latin1') === 'Xen') return true;
      at += 12 + Math.ceil(nameSize / 4) * 4 + Math.ceil(size / 4) * 4;
    }
  }
  return false;
}

/** The `name=value` texts of a module's .modinfo; empty when it has none. */
export function moduleInfo(file: Buffer): readonly (readonly [name: string, value: string])[] {
  const elf = header(file);
  if (elf === undefined) return [];
  const section = (index: number): { name: number; offset: number; size: number } | undefined => {
    const entry = slice(file, elf.shoff + index * elf.shentsize, elf.is64 ? 64 : 40);
    if (entry === undefined) return undefined;
    return elf.is64
      ? { name: entry.readUInt32LE(0), offset: Number(entry.readBigUInt64LE(24)), size: Number(entry.readBigUInt64LE(32)) }
      : { name: entry.readUInt32LE(0), offset: entry.readUInt32LE(16), size: entry.readUInt32LE(20) };
  };
  const strings = section(elf.shstrndx);
  const names = strings === undefined ? undefined : slice(file, strings.offset, strings.size);
  if (names === undefined) return [];
  for (let index = 0; index < elf.shnum; index++) {
    const found = section(index);
    if (found === undefined || names.subarray(found.name, found.name + 9).toString('latin1') !== '.modinfo\0') continue;
    const text = slice(file, found.offset, found.size)?.toString('utf8') ?? '';
    return text.split('\0').filter((line) => line.includes('=')).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  }
  return [];
}
