// The image that `up` builds where no registry can be reached.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { buildBusyboxArchive } from '../../../scripts/busybox-image.ts';
import { hasStaticBusybox } from '../../../scripts/system-packages.ts';

type Entry = { name: string; type: string; linkname: string | null; mode: number; content: Buffer };

async function entriesOf(tar: Buffer): Promise<Entry[]> {
  const found: Entry[] = [];
  const parser = extract();
  Readable.from([tar]).pipe(parser);
  for await (const entry of parser) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(piece as Buffer);
    const { name, type, linkname, mode } = entry.header;
    found.push({ name, type: type ?? 'file', linkname: linkname ?? null, mode: mode ?? 0, content: Buffer.concat(pieces) });
  }
  return found;
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('the archive is what docker save writes, its digests are right, and it is the same each time', async (t) => {
  if (!(await hasStaticBusybox())) return t.skip('busybox-static is not installed');
  const archive = await buildBusyboxArchive('example/busybox:latest');
  const entries = await entriesOf(archive);
  const contentOf = (name: string): Buffer => entries.find((entry) => entry.name === name)?.content ?? assert.fail(`${name} is not there`);
  const [image] = JSON.parse(contentOf('manifest.json').toString()) as { Config: string; RepoTags: string[]; Layers: string[] }[];
  assert.ok(image !== undefined);
  assert.deepEqual(image.RepoTags, ['example/busybox:latest']);
  const config = contentOf(image.Config);
  assert.equal(image.Config, `${sha256(config)}.json`);
  const layer = contentOf(image.Layers[0] ?? '');
  assert.deepEqual((JSON.parse(config.toString()) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids, [`sha256:${sha256(layer)}`]);

  const files = await entriesOf(layer);
  assert.ok(files.some((file) => file.name === 'bin/sh' && file.linkname === 'bin/busybox'));
  assert.equal(files.find((file) => file.name.startsWith('tmp'))?.mode, 0o1777);
  assert.ok(files.every((file) => !file.name.startsWith('/') && !file.name.includes('..')));
  assert.ok(archive.equals(await buildBusyboxArchive('example/busybox:latest')));
});
