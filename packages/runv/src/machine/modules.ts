// Chooses and reads the modules that a guest needs from a kernel's modules directory, in the order in which they can be loaded.
// Dependencies come from each module's own .modinfo, so that a directory out of a package, where depmod never ran, serves as well.
// It must not follow a link out of the directory.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compressionOf, decompress } from './decompress.ts';
import { moduleInfo } from './elf.ts';
import { MachineError } from './errors.ts';

/** What pouch-init uses, most needed first. What a kernel lacks or has built in is passed over. */
export const wantedModules: readonly string[] = [
  'virtio', 'virtio_ring', 'virtio_mmio', 'virtio_pci', 'virtio_console', 'virtio_blk', 'virtio_net',
  'ext4', 'erofs', 'overlay', 'fuse', 'virtiofs', 'unix', 'ipv6',
];

/** Symbols that modules ask the crypto API for by name: no dependency says so, and the guest has no modprobe. */
const byName: Readonly<Record<string, readonly string[]>> = { libcrc32c: ['crc32c_generic'], ext4: ['crc32c_generic'], jbd2: ['crc32c_generic'] };

const maxModules = 64;
const maxFiles = 50_000;

export interface KernelModule { readonly name: string; readonly content: Buffer }

const nameOf = (file: string): string => file.replace(/^.*\//, '').replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_');

/** Every module file below `directory` by its name (dashes as underscores). */
async function indexModules(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const queue = [directory];
  for (let at = 0; at < queue.length; at++) {
    const folder = queue[at] as string;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (found.size + queue.length > maxFiles) throw new MachineError('bad-kernel', `${directory} holds more than ${maxFiles} files: this is not a modules directory`);
      if (entry.isDirectory()) queue.push(join(folder, entry.name)); // links (build, source) are no directories here
      else if (entry.isFile() && /\.ko(\.(xz|zst|gz))?$/.test(entry.name)) found.set(nameOf(entry.name), join(folder, entry.name));
    }
  }
  return found;
}

/** The modules of `wanted` and all they depend on, each after what it needs. */
export async function collectModules(directory: string, wanted: readonly string[] = wantedModules): Promise<KernelModule[]> {
  const files = await indexModules(directory);
  if (files.size === 0) throw new MachineError('bad-kernel', `there are no modules (*.ko) below ${directory}`);
  const loaded = new Map<string, KernelModule>();
  const open = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (file === undefined || loaded.has(name) || open.has(name)) return; // built in, there already, or a circle that the kernel would not load either
    open.add(name);
    if (open.size > maxModules) throw new MachineError('bad-kernel', `module ${name} has more than ${maxModules} dependencies`);
    const packed = await readFile(file);
    const compression = compressionOf(packed);
    const content = compression === undefined ? packed : await decompress(packed, compression);
    for (const need of [...dependenciesOf(content), ...(byName[name] ?? [])]) await visit(need);
    loaded.set(name, { name, content });
  };
  for (const name of wanted) await visit(name);
  return [...loaded.values()];
}

/** What a module says it needs: `depends` and `softdep=pre:`. */
export function dependenciesOf(module: Buffer): string[] {
  return moduleInfo(module).flatMap(([name, value]) => {
    if (name === 'depends') return value.split(',');
    if (name === 'softdep') return /pre:\s*([^:]*?)(?:\s+post:|$)/.exec(value)?.[1]?.split(/\s+/) ?? [];
    return [];
  }).filter((need) => need !== '').map((need) => need.replaceAll('-', '_'));
}
