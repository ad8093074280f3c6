// The supervisor as a process, with nothing to keep running: when it runs, and when it is not wanted any more.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { resolveCluster } from '../../../scripts/cluster/options.ts';
import { readPidFile } from '../../../scripts/cluster/process-identity.ts';
import { supervisorPidFile, wantedFile, type SupervisorInput } from '../../../scripts/cluster/supervisor.ts';
import { until } from '../../fixtures/native.ts';

let directory: string;
before(async () => { directory = await mkdtemp(join(tmpdir(), 'pouch-test-supervisor-')); });
after(() => rm(directory, { recursive: true, force: true }));

async function launched(name: string, wanted: boolean) {
  const run = join(directory, name);
  const config = resolveCluster({ data: join(directory, 'd'), run, logs: join(directory, 'l'), socket: join(directory, 's'), processes: [] });
  const file = join(run, 'cluster.json');
  await mkdir(run);
  await writeFile(file, JSON.stringify({ config, programs: { nats: null, containerd: '/nowhere' } } satisfies SupervisorInput));
  if (wanted) await writeFile(wantedFile(run), '');
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../../scripts/cluster/supervisor.ts'), file], { stdio: 'ignore' });
  return { run, child, exited: once(child, 'exit') };
}

test('one that was stopped before it came up ends, and leaves no word of itself', async () => {
  const { run, exited } = await launched('late', false);
  assert.deepEqual(await exited, [0, null]);
  await assert.rejects(stat(supervisorPidFile(run)), { code: 'ENOENT' });
});

test('one that is wanted runs until it is told to end', async () => {
  const { run, child, exited } = await launched('wanted', true);
  await until('it says who it is', () => readPidFile(supervisorPidFile(run)));
  await until('its processes run, all none of them', async () => await stat(join(run, 'status.json')).then(() => true, () => undefined));
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  await assert.rejects(stat(supervisorPidFile(run)), { code: 'ENOENT' });
});
