// What a probe stands on: output of which the first bytes are kept, and places for those who begin at once.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Places } from '../../../services/agent/src/health/places.ts';
import { ProbeOutput } from '../../../services/agent/src/health/probe-output.ts';

test('output of both streams is kept as it comes, up to the bound, and the rest is read', async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const output = new ProbeOutput([stdout, stderr], 8);
  stdout.write('out');
  stderr.end('err');
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.equal(output.text, 'outerr');
  stdout.end('x'.repeat(100_000));
  await output.read(60_000);
  assert.equal(output.text, 'outerrxx...');
  assert.equal(stdout.readableEnded, true);
});

test('a stream that never ends is waited for so long only, and one that fails has ended', async () => {
  const open = new PassThrough();
  await new ProbeOutput([open], 8).read(1);
  const broken = new PassThrough();
  const output = new ProbeOutput([broken], 8);
  broken.destroy(new Error('cut'));
  await output.read(60_000);
  assert.equal(output.text, '');
});

test('so many are begun at once, the others in turn, also after one that failed', async () => {
  const places = new Places(2);
  const begun: number[] = [];
  const ends = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
  const works = ends.map(({ promise }, index) => places.with(async () => { begun.push(index); await promise; }));
  const settled = Promise.allSettled(works);
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.reject(new Error('it failed'));
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.deepEqual(begun, [0, 1, 2]);
  for (const { resolve } of ends) resolve();
  assert.deepEqual((await settled).map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  assert.deepEqual(begun, [0, 1, 2, 3]);
});
