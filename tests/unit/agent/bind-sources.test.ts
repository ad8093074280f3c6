// Sources of binds: made where they are missing, and kept within the directory that the policy opens.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Mount } from '@pouch/domain';
import { makeSources } from '../../../services/agent/src/containers/bind-sources.ts';

test('links do not lead out of an open directory, and nothing is made outside of it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-binds-'));
  try {
    const [open, other] = [join(directory, 'open'), join(directory, 'other')];
    await Promise.all([mkdir(open), mkdir(other)]);
    await symlink(other, join(open, 'out'));
    await symlink('inside', join(open, 'in'));
    await mkdir(join(open, 'inside'));
    const bind = (source: string, more: object = {}): { mounts: readonly Mount[] } =>
      ({ mounts: [{ type: 'bind', declaredAs: 'binds', source, target: '/m', readonly: false, propagation: 'rprivate', recursive: true, createSource: true, within: open, ...more }] });
    for (const source of [open, join(open, 'new/deep'), join(open, 'in'), join(open, 'in/new')]) await makeSources(bind(source));
    assert.ok((await stat(join(open, 'inside/new'))).isDirectory());
    for (const source of [join(open, 'out'), join(open, 'out/new'), other]) {
      await assert.rejects(makeSources(bind(source)), (error: unknown) => (error as { code?: string }).code === 'denied' && /rule host-binds/.test(String(error)), source);
    }
    await assert.rejects(stat(join(other, 'new')));
    await makeSources(bind(join(other, 'new'), { within: undefined }));
    await assert.rejects(makeSources(bind(join(open, 'absent'), { createSource: false })), /does not exist/);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
