// The tar that a guest kernel travels in: `image`, and its modules under `modules/`. The same files give the same bytes, so that adding twice is once.
// Reads files as they are sent; follows no link.
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { UsageError } from '../errors.ts';

const block = 512;
const maxFiles = 50_000;
/** What an octal field of eleven digits can say. */
const maxFileBytes = 0o77777777777;

interface Member {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
}

/** `bytes`: of the whole stream. Throws UsageError for what cannot be read. */
export async function kernelArchive(image: string, modules: string | undefined): Promise<{ readonly stream: Readable; readonly bytes: number; readonly files: number }> {
  const found = await stat(image).catch((error: unknown) => { throw new UsageError(`--image ${image}: ${error instanceof Error ? error.message : String(error)}`); });
  if (!found.isFile()) throw new UsageError(`--image ${image}: it is no file`);
  const members: Member[] = [{ name: 'image', path: image, bytes: found.size }, ...(modules === undefined ? [] : await filesBelow(modules))];
  const bytes = members.reduce((sum, member) => sum + headersOf(member).length + member.bytes + padding(member.bytes), 2 * block);
  return { stream: Readable.from(parts(members)), bytes, files: members.length };
}

/** Modules and the lists that go with them, sorted; build trees and links are left out. */
async function filesBelow(directory: string): Promise<Member[]> {
  const members: Member[] = [];
  const queue = [''];
  for (let at = 0; at < queue.length; at++) {
    const folder = queue[at] as string;
    const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch((error: unknown) => { throw new UsageError(`--modules ${directory}: ${error instanceof Error ? error.message : String(error)}`); });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) queue.push(name);
      else if (entry.isFile()) members.push({ name: `modules/${name}`, path: join(directory, name), bytes: (await stat(join(directory, name))).size });
      if (members.length + queue.length > maxFiles) throw new UsageError(`--modules ${directory}: more than ${maxFiles} files; is it lib/modules/<release>?`);
    }
  }
  if (!members.some(({ name }) => /\.ko(\.(xz|zst|gz))?$/.test(name))) throw new UsageError(`--modules ${directory}: there is no module (*.ko) below it`);
  return members;
}

async function* parts(members: readonly Member[]): AsyncGenerator<Buffer> {
  for (const member of members) {
    yield headersOf(member);
    let sent = 0;
    for await (const chunk of createReadStream(member.path) as AsyncIterable<Buffer>) {
      sent += chunk.length;
      if (sent > member.bytes) break;
      yield chunk;
    }
    if (sent !== member.bytes) throw new UsageError(`${member.path} has changed while it was sent`);
    if (padding(sent) > 0) yield Buffer.alloc(padding(sent));
  }
  yield Buffer.alloc(2 * block);
}

const padding = (bytes: number): number => (block - (bytes % block)) % block;

/** A long name goes before its file as GNU's tar has it. */
function headersOf({ name, path, bytes }: Member): Buffer {
  if (bytes > maxFileBytes) throw new UsageError(`${path} is too large`);
  const text = Buffer.from(name);
  if (text.length <= 100) return header(text, bytes, '0');
  const long = Buffer.concat([text, Buffer.alloc(1)]);
  return Buffer.concat([header(Buffer.from('././@LongLink'), long.length, 'L'), long, Buffer.alloc(padding(long.length)), header(text.subarray(0, 100), bytes, '0')]);
}

function header(name: Buffer, bytes: number, flag: string): Buffer {
  const head = Buffer.alloc(block);
  name.copy(head, 0);
  head.write('0000644\0', 100);
  head.write('0000000\0', 108);
  head.write('0000000\0', 116);
  head.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
  head.write(`${'0'.repeat(11)}\0`, 136);
  head.write('        ', 148);
  head.write(flag, 156);
  head.write('ustar\0' + '00', 257);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return head;
}
