// Writes cpio archives (newc, "070701"), the form of an initramfs: kernel Documentation/driver-api/early-userspace/buffer-format.rst.
// Pure: it must not read files or the clock, so that the same entries always give the same bytes.

export interface CpioEntry {
  /** Relative, without a leading slash. */
  readonly name: string;
  /** Type and permissions, as st_mode: e.g. 0o100755. */
  readonly mode: number;
  readonly content?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
  readonly uid?: number;
  readonly gid?: number;
  /** Names of the same file in the archive; all have the same inode number, and the first one the content. */
  readonly links?: number;
}

const maxFileBytes = 0xffff_ffff;

const hex = (value: number): string => value.toString(16).padStart(8, '0').toUpperCase();
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

/** Header, name and content of one entry, each padded to 4 bytes. Throws RangeError for a name or size that the format cannot hold. */
export function* cpioParts(entry: CpioEntry, inode: number): Generator<Uint8Array> {
  const name = Buffer.from(`${entry.name}\0`);
  const content = entry.content ?? Buffer.alloc(0);
  if (name.length > 4096 || name.indexOf(0) !== name.length - 1) throw new RangeError(`not a name for an archive: ${JSON.stringify(entry.name)}`);
  if (content.length > maxFileBytes) throw new RangeError(`${entry.name} is too big for an initramfs`);
  const isDirectory = (entry.mode & 0o170000) === 0o040000;
  const fields = [
    inode, entry.mode, entry.uid ?? 0, entry.gid ?? 0, isDirectory ? 2 : (entry.links ?? 1), 0, content.length,
    0, 0, entry.device?.major ?? 0, entry.device?.minor ?? 0, name.length, 0,
  ];
  const header = Buffer.concat([Buffer.from(`070701${fields.map(hex).join('')}`), name]);
  yield Buffer.concat([header, padding(header.length)]);
  if (content.length > 0) {
    yield content;
    yield padding(content.length);
  }
}

/** A whole archive, its trailer included, padded to 512 bytes. Entries stand in the order given: directories before what is in them. */
export function packCpio(entries: Iterable<CpioEntry>): Buffer {
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const entry of entries) parts.push(...cpioParts(entry, inode++));
  parts.push(...cpioParts({ name: 'TRAILER!!!', mode: 0 }, 0));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([...parts, Buffer.alloc((512 - (length % 512)) % 512)]);
}
