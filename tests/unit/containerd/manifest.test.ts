// Manifests, indexes and configs from outside are checked before anything is made of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chainIds, digestOf, ImageError, parsePlatform, platformText } from '@pouch/containerd';
import { entriesFor, MEDIA, parseConfig, parseManifest } from '../../../packages/containerd/src/image/manifest.ts';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const layer = { mediaType: `${MEDIA.ociLayer}+gzip`, digest: digest('b'), size: 10 };
const manifest = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: { mediaType: MEDIA.ociConfig, digest: digest('a'), size: 2 }, layers: [layer] };

test('chain ids follow the image specification', () => {
  const [a, b, c] = [digest('a'), digest('b'), digest('c')];
  const second = digestOf(`${a} ${b}`);
  assert.deepEqual(chainIds([a, b, c]), [a, second, digestOf(`${second} ${c}`)]);
  assert.deepEqual(chainIds([]), []);
});

test('a manifest and an index are told apart', () => {
  assert.equal(parseManifest(json(manifest), 'it').kind, 'manifest');
  assert.equal(parseManifest(json({ ...manifest, mediaType: undefined }), 'it', `${MEDIA.dockerManifest}; charset=utf-8`).mediaType, MEDIA.dockerManifest);
  assert.equal(parseManifest(json({ schemaVersion: 2, manifests: [] }), 'it').kind, 'index');
});

test('hostile documents are refused with what is wrong', () => {
  const table: [Buffer, RegExp][] = [
    [Buffer.from('{'), /not valid JSON/], [Buffer.from([0xff, 0xfe]), /not valid JSON/], [json([]), /not a JSON object/], [json({}), /schemaVersion/],
    [json({ schemaVersion: 1 }), /schema version 1/],
    [json({ ...manifest, layers: 'x' }), /layers is not a list/], [json({ ...manifest, layers: Array(501).fill(layer) }), /layers is not a list/],
    [json({ ...manifest, layers: [{ ...layer, digest: 'sha256:../../x' }] }), /layers\[0\]: the digest/],
    [json({ ...manifest, layers: [{ ...layer, size: -1 }] }), /layers\[0\]: the size/], [json({ ...manifest, layers: [{ ...layer, size: 1e300 }] }), /layers\[0\]: the size/],
    [json({ ...manifest, layers: [{ ...layer, mediaType: 'text/html' }] }), /media type/], [json({ ...manifest, layers: [null] }), /layers\[0\]/],
    [json({ ...manifest, config: { ...manifest.config, mediaType: 'application/vnd.oci.empty.v1+json' } }), /not a container image/],
    [json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: 5 }), /manifests is not a list/],
  ];
  for (const [bytes, why] of table) assert.throws(() => parseManifest(bytes, 'it'), (error) => error instanceof ImageError && why.test(error.message), why.source);
});

test('a config must fit its manifest', () => {
  const config = { architecture: 'amd64', os: 'linux', config: { Cmd: ['sh'] }, rootfs: { type: 'layers', diff_ids: [digest('c')] } };
  assert.equal(parseConfig(json(config), 'it', 1).config.Cmd?.[0], 'sh');
  assert.throws(() => parseConfig(json(config), 'it', 2), /names 1 layers and the manifest 2/);
  assert.throws(() => parseConfig(json({ ...config, rootfs: { diff_ids: ['x'] } }), 'it', 1), /diff_ids/);
  assert.throws(() => parseConfig(json({ ...config, config: { Cmd: 'sh' } }), 'it', 1), /config\.Cmd/);
  assert.throws(() => parseConfig(json({ ...config, config: { User: 5 } }), 'it', 1), /config\.User/);
  assert.throws(() => parseConfig(json({ ...config, history: [1] }), 'it', 1), /history/);
});

test('the platform chooses among the entries of an index', () => {
  const entry = (os: string, architecture: string, variant?: string) => ({ ...manifest.config, mediaType: MEDIA.ociManifest, digest: digestOf(`${os}${architecture}${variant}`), platform: { os, architecture, variant } });
  const index = parseManifest(json({ schemaVersion: 2, manifests: [entry('unknown', 'unknown'), entry('linux', 'arm', 'v6'), entry('linux', 'arm', 'v7'), entry('linux', 'amd64'), entry('linux', 'arm64', 'v8')] }), 'it');
  assert.equal(index.kind, 'index');
  if (index.kind !== 'index') return;
  const first = (text: string) => { const found = entriesFor(index, parsePlatform(text))[0]?.platform; return found ? platformText(found) : undefined; };
  assert.equal(first('linux/amd64'), 'linux/amd64');
  assert.equal(first('linux/arm/v7'), 'linux/arm/v7');
  assert.equal(first('linux/aarch64'), 'linux/arm64/v8');
  assert.equal(first('windows/amd64'), undefined);
  assert.throws(() => parsePlatform('linux'), /os\/architecture/);
  assert.throws(() => parsePlatform('a/b/c/d'), /os\/architecture/);
});

test('no JSON whatever makes the parsers fail in another way than by saying what is wrong', () => {
  const config = { architecture: 'amd64', os: 'linux', config: { Cmd: ['sh'] }, rootfs: { type: 'layers', diff_ids: [digest('c')] }, history: [{}] };
  const keys = [...Object.keys(manifest), ...Object.keys(config), 'manifests', 'mediaType', 'schemaVersion'];
  fc.assert(fc.property(fc.constantFrom(manifest, config, { schemaVersion: 2, manifests: [layer] }), fc.constantFrom(...keys), fc.jsonValue(), (base, key, value) => {
    for (const changed of [{ ...base, [key]: value }, { ...base, [key]: [value] }, { ...base, [key]: { diff_ids: value, mediaType: value, digest: value, size: value, Env: value } }, value]) {
      for (const parse of [() => parseManifest(json(changed), 'it'), () => parseConfig(json(changed), 'it', 1)]) {
        try { parse(); } catch (error) { assert.ok(error instanceof ImageError, String(error)); }
      }
    }
  }), { numRuns: 500 });
});
