// What is read from the log, from pipes and from archives may be anything: it is taken, or refused in the way that is foreseen, and never ends a process.
// The seed is printed; POUCH_TEST_SEED=N has the same run again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageError, readTar } from '@pouch/containerd';
import { MalformedMessageError, parseSubject, toMessage } from '@pouch/contracts';
import { decodeEntry } from '@pouch/projections';
import { parseConfig, parseManifest } from '../../../packages/containerd/src/image/manifest.ts';
import { rowChange } from '../../../packages/projections/src/distill.ts';
import { PresentChanges } from '../../../packages/projections/src/present.ts';
import { decodeFrame, decodeJson } from '../../../packages/pipes/src/frame.ts';
import { anySeed, randomOf } from '../../e2e/faults/random.ts';
import { LogOfEntries } from '../../fixtures/log-entries.ts';
import { tarOf } from '../../fixtures/images.ts';
import { anyBytes, anyText, spoiled, spoiledBytes } from '../../fixtures/mutations.ts';

const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
const rounds = 3_000;
process.stdout.write(`POUCH_TEST_SEED=${seed}\n`);

test('messages of the log: whatever stands there is decoded or told as malformed, and what is decoded can be shown', () => {
  const random = randomOf(seed);
  const log = new LogOfEntries();
  log.join();
  log.create(1);
  log.exit(1, log.start(1));
  log.exec(1, 1, 3);
  log.pull(1, 'docker.io/library/busybox:latest');
  log.append('token', 'evt.token.ci', [{ type: 'TokenCreated', name: 'ci', role: 'read', hash: 'f'.repeat(64), expiresAtMs: null, atMs: 1 }]);
  let known = 0;
  for (let round = 0; round < rounds; round++) {
    const entry = random.pick(log.entries);
    const value: unknown = JSON.parse(Buffer.from(entry.payload).toString());
    const payload = random.oneIn(4) ? spoiledBytes(random, Buffer.from(entry.payload)) : Buffer.from(JSON.stringify(spoiled(random, value, random.between(4, 40))) ?? '');
    const subject = random.oneIn(10) ? anyText(random) : entry.subject;
    const decoded = decodeEntry({ subject, payload });
    assert.ok(['known', 'unknown', 'malformed'].includes(decoded.form));
    if (decoded.form === 'known') {
      known += 1;
      new PresentChanges(() => null).take(rowChange(decoded), 1);
    }
    parseSubject(subject);
    try {
      toMessage(random.oneIn(3) ? spoiled(random, value, 3) : value);
    } catch (error) {
      assert.ok(error instanceof MalformedMessageError, String(error));
    }
  }
  assert.ok(known > rounds / 100, 'some of them must get through, or nothing behind is tried');
});

test('frames of pipes: any bytes are a frame or none', () => {
  const random = randomOf(seed + 1);
  for (let round = 0; round < rounds; round++) {
    const bytes = anyBytes(random, random.between(0, 40));
    const frame = decodeFrame(bytes);
    assert.equal(frame === null, bytes.length < 5);
    if (frame !== null) decodeJson(frame.body);
  }
});

test('archives: a spoiled tar is read to an end or refused, and nothing of it leads out of its place', async () => {
  const random = randomOf(seed + 2);
  const whole = await tarOf([{ name: 'manifest.json', data: '[]' }, { name: `${'d/'.repeat(60)}deep`, data: 'x' }, { name: 'big', data: Buffer.alloc(3_000, 7) }]);
  for (let round = 0; round < 600; round++) {
    const bytes = spoiledBytes(random, whole);
    try {
      for await (const { name, body } of readTar((async function* () { yield bytes; })())) {
        assert.ok(!name.startsWith('/') && !name.split('/').includes('..'), JSON.stringify(name));
        for await (const chunk of body) assert.ok(chunk.length <= bytes.length);
      }
    } catch (error) {
      assert.ok(error instanceof ImageError, `round ${round}: ${String(error)}`);
    }
  }
});

test('manifests and configurations of images: spoiled ones are refused as such', () => {
  const random = randomOf(seed + 3);
  const digest = `sha256:${'1'.repeat(64)}`;
  const manifest = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 10 }, layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 20 }] };
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [{ mediaType: manifest.mediaType, digest, size: 10, platform: { os: 'linux', architecture: 'amd64' } }] };
  const config = { os: 'linux', architecture: 'amd64', created: '2020-01-01T00:00:00Z', config: { Env: ['A=1'], Cmd: ['sh'], Labels: { a: 'b' }, ExposedPorts: { '80/tcp': {} }, Volumes: {}, User: '', WorkingDir: '/' }, rootfs: { type: 'layers', diff_ids: [digest] }, history: [{ created: '2020-01-01T00:00:00Z', created_by: 'x', empty_layer: false }] };
  for (let round = 0; round < rounds; round++) {
    for (const parse of [() => parseManifest(bytesOf(random.pick([manifest, index])), 'x'), () => parseConfig(bytesOf(config), 'x', 1)]) {
      try {
        parse();
      } catch (error) {
        assert.ok(error instanceof ImageError, `round ${round}: ${String(error)}`);
      }
    }
  }
  function bytesOf(value: object): Buffer {
    const text = Buffer.from(JSON.stringify(spoiled(random, value, random.between(3, 20))) ?? '');
    return random.oneIn(5) ? spoiledBytes(random, text) : text;
  }
});
