// The pool's pure parts: how many machines an image is worth, and what one is asked to rehearse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { poolPlaces } from '../../../packages/runv/src/pool/places.ts';
import { fillMs, roomFor, targetSize } from '../../../packages/runv/src/pool/size.ts';
import { decodeWanted, encodeWanted, rehearsalOf } from '../../../packages/runv/src/pool/wanted.ts';
import { configure } from '../../../packages/runv/src/protocol/ops.ts';
import { decodeRecords, record } from '../../../packages/runv/src/protocol/records.ts';
import type { TemplatableMachine } from '../../../packages/runv/src/machine/template.ts';

const limits = { most: 4, idleMs: 600_000 };
const uses = (...times: number[]): { atMs: number }[] => times.map((atMs) => ({ atMs }));
const now = 10_000_000;

test('an image that nobody uses is worth none, one that is used now and then is worth one', () => {
  assert.equal(targetSize([], now, limits), 0);
  assert.equal(targetSize(uses(now - limits.idleMs), now, limits), 0);
  assert.equal(targetSize(uses(now - limits.idleMs + 1), now, limits), 1);
  assert.equal(targetSize(uses(now - 3 * fillMs, now - 2 * fillMs, now - fillMs), now, limits), 1);
});

test('as many as come while one is made, in any order, up to the most', () => {
  assert.equal(targetSize(uses(now - 1, now - 3, now - 2), now, limits), 3);
  assert.equal(targetSize(uses(now - 2 * fillMs, now - 2 * fillMs + 1, now), now, limits), 2);
  assert.equal(targetSize(uses(...Array.from({ length: 50 }, (_, index) => now - index)), now, limits), 4);
  assert.equal(targetSize(uses(now - 1), now, { ...limits, most: 0 }), 0);
  assert.equal(targetSize(uses(now + 1), now, limits), 0, 'a clock that was set back');
});

test('room: what the pool may promise, and half of what the host has', () => {
  assert.equal(roomFor(256, [], 1024, 1e6), 4);
  assert.equal(roomFor(256, [256, 512], 1024, 1e6), 1);
  assert.equal(roomFor(256, [1024], 1024, 1e6), 0);
  assert.equal(roomFor(256, [2048], 1024, 1e6), 0);
  assert.equal(roomFor(256, [], 1024, 600), 1);
});

test('a rehearsal has nothing of one container: no name, no environment, no content, no mount point of its own', () => {
  const spec = {
    hostname: 'secret-name', root: { path: 'rootfs' },
    process: { args: ['secret-program'], env: ['SECRET=1'], cwd: '/secret-place' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' }, { destination: '/secret-mount', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/etc/hosts', type: 'bind', source: '/secret/hosts', options: ['rbind'] },
    ],
    linux: { maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys'], sysctl: { 'net.secret': '1' } },
  };
  const root = record(configure.scratch, '/dev/vdb');
  const { prepare, spawn } = rehearsalOf(spec, root);
  assert.doesNotMatch(prepare.toString('latin1') + spawn.toString('latin1'), /secret/i);
  assert.deepEqual(decodeRecords(prepare).map(({ tag }) => tag), [configure.scratch, configure.mount, configure.file, configure.hostname, configure.machineId, configure.maskedPath, configure.readonlyPath]);
});

test('what is wanted passes through a command line; places are apart for each store of layers, and short enough for a socket', () => {
  const machine = { disks: [{ id: 'layer0', path: '/l', readOnly: true, fd: 20 }] } as unknown as TemplatableMachine;
  const wanted = { machine, root: Buffer.from([1, 2]), rehearsal: { prepare: Buffer.from([3]), spawn: Buffer.from([4, 0]) } };
  assert.deepEqual(decodeWanted(encodeWanted(wanted)), { ...wanted, machine: { disks: [{ id: 'layer0', path: '/l', readOnly: true }] } });
  assert.notEqual(poolPlaces('/a').directory, poolPlaces('/b').directory);
  assert.ok(`${poolPlaces('/a').directory}/${'k'.repeat(32)}/${'n'.repeat(8)}.new/qemu/control.sock`.length <= 107);
});
