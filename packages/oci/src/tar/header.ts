// The header blocks of a tar member: ustar (POSIX.1-1988), with a pax header (POSIX.1-2001) where a value does not fit. Pure.

export const tarBlockBytes = 512;

/** Two empty blocks end an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * tarBlockBytes);

export type TarType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

/** Names are bytes, as in the archive. */
export interface TarHeader {
  /** A directory's ends in a slash. */
  readonly name: Buffer;
  readonly type: TarType;
  /** Of a link: the name of the member that it is a further name of; of a symbolic link: where it leads. */
  readonly linkName: Buffer;
  /** Permissions, 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Since 1970. */
  readonly mtimeSeconds: number;
  /** Of what follows; 0 for what is no regular file. */
  readonly sizeBytes: number;
  /** Of devices. */
  readonly major: number;
  readonly minor: number;
  /** The attribute security.capability; empty: none. */
  readonly capability: Buffer;
}

const flags: Readonly<Record<TarType, string>> = { file: '0', link: '1', symlink: '2', character: '3', block: '4', directory: '5', fifo: '6' };
const nameBytes = 100;
/** What octal fields of seven and of eleven digits can say. */
const maxSmall = 0o7777777;
const maxLarge = 0o77777777777;
/** Where GNU tar, libarchive and Go keep an attribute of a file. */
export const capabilityRecord = 'SCHILY.xattr.security.capability';

/** Zeros that fill up the last block of a member of this size. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((tarBlockBytes - (bytes % tarBlockBytes)) % tarBlockBytes);
}

/** The blocks that go before the member's bytes. */
export function encodeTarHeader(header: TarHeader): Buffer {
  const records = paxRecords(header);
  const main = block(header, flags[header.type]);
  if (records.length === 0) return main;
  const extended = Buffer.concat(records);
  const around = { ...header, name: Buffer.from('PaxHeaders.0/member'), linkName: Buffer.alloc(0), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, sizeBytes: extended.length, major: 0, minor: 0 };
  return Buffer.concat([block(around, 'x'), extended, tarPadding(extended.length), main]);
}

function paxRecords({ name, linkName, uid, gid, mtimeSeconds, sizeBytes, capability }: TarHeader): Buffer[] {
  const records: Buffer[] = [];
  if (name.length > nameBytes) records.push(paxRecord('path', name));
  if (linkName.length > nameBytes) records.push(paxRecord('linkpath', linkName));
  if (uid > maxSmall) records.push(paxRecord('uid', Buffer.from(String(uid))));
  if (gid > maxSmall) records.push(paxRecord('gid', Buffer.from(String(gid))));
  if (mtimeSeconds < 0 || mtimeSeconds > maxLarge) records.push(paxRecord('mtime', Buffer.from(String(mtimeSeconds))));
  if (sizeBytes > maxLarge) records.push(paxRecord('size', Buffer.from(String(sizeBytes))));
  if (capability.length > 0) records.push(paxRecord(capabilityRecord, capability));
  return records;
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')]);
}

function block({ name, linkName, mode, uid, gid, mtimeSeconds, sizeBytes, major, minor }: TarHeader, flag: string): Buffer {
  const head = Buffer.alloc(tarBlockBytes);
  const small = (value: number, at: number): void => { head.write(`${Math.min(value, maxSmall).toString(8).padStart(7, '0')}\0`, at, 'latin1'); };
  const large = (value: number, at: number): void => { head.write(`${Math.max(0, Math.min(value, maxLarge)).toString(8).padStart(11, '0')}\0`, at, 'latin1'); };
  name.copy(head, 0, 0, nameBytes);
  small(mode, 100);
  small(uid, 108);
  small(gid, 116);
  large(sizeBytes, 124);
  large(mtimeSeconds, 136);
  head.write(' '.repeat(8), 148, 'latin1');
  head.write(flag, 156, 'latin1');
  linkName.copy(head, 157, 0, nameBytes);
  head.write('ustar\0' + '00', 257, 'latin1');
  small(major, 329);
  small(minor, 337);
  head.write(`${head.reduce((total, byte) => total + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return head;
}
