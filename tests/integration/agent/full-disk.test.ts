// The agent's own file on a disk that others have filled: what it must not forget it can still write down.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Store } from '../../../services/agent/src/store/store.ts';
import { clusterUnavailable } from '../../fixtures/cluster.ts';
import { Disk } from '../../fixtures/disk.ts';

test('reports, heads and attempts are written while the disk is full, and stand there in the next life', { skip: clusterUnavailable() ?? false }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-full-'));
  const disk = new Disk(directory, 32 * 2 ** 20);
  await disk.make();
  const stores: Store[] = [];
  const open = (): Store => {
    const store = new Store(join(directory, 'agent.db'));
    stores.push(store);
    return store;
  };
  t.after(async () => {
    stores.at(-1)?.close();
    await disk.free();
    await promisify(execFile)('umount', ['-l', directory]);
    await rm(directory, { recursive: true });
  });
  const store = open();
  await disk.fill();
  const snapshot = { status: 'running', padding: 'x'.repeat(4_000) } as never;
  for (let n = 0; n < 200; n++) {
    store.enqueue({ id: `report-${n}`, kind: 'container', subject: `evt.container.h.${n}`, command: JSON.stringify({ n, padding: 'x'.repeat(1_000) }), atMs: n });
    store.saveHead({ containerId: `c${n}`, seq: n, snapshot });
    store.attempt(`c${n}`, 'command', n);
  }
  // Over and over in the same room.
  for (let round = 0; round < 20; round++) {
    for (let n = 0; n < 200; n++) store.saveHead({ containerId: `c${n}`, seq: 1_000 + round, snapshot });
  }
  store.dequeue(Array.from({ length: 100 }, (_, n) => `report-${n}`));
  store.close();
  await disk.free();
  const next = open();
  assert.deepEqual([next.outbox().map(({ id }) => id), next.heads().length, new Set(next.heads().map(({ seq }) => seq)), next.attempts().length], [Array.from({ length: 100 }, (_, n) => `report-${n + 100}`), 200, new Set([1_019]), 200]);
});
