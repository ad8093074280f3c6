// Waiting for a cluster to be whole: what cannot become so is told at once, with the words of the process that refuses.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntilHealthy } from '../../../scripts/cluster/health.ts';
import { resolveCluster } from '../../../scripts/cluster/options.ts';
import { identify, writePidFile } from '../../../scripts/cluster/process-identity.ts';
import { statusFile, supervisorPidFile, type SupervisorStatus } from '../../../scripts/cluster/supervisor.ts';

test('a process that refuses its configuration is not waited for', { timeout: 30_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-health-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const config = resolveCluster({ data: join(directory, 'd'), run: join(directory, 'r'), logs: join(directory, 'l'), socket: join(directory, 's.sock') });
  await Promise.all([config.run, config.logs].map((path) => mkdir(path)));
  const self = identify(process.pid);
  assert.ok(self !== undefined);
  await writePidFile(supervisorPidFile(config.run), self);
  const api = { state: 'waiting to start again', pid: null, restarts: 1, lastEnd: 'exit code 78' } as const;
  await writeFile(statusFile(config.run), JSON.stringify({ pid: process.pid, phase: 'running', processes: { api } } as unknown as SupervisorStatus));
  await writeFile(join(config.logs, 'api.log'), 'pouch-api: POUCH_TCP: 0.0.0.0 is not a loopback address\n');
  await assert.rejects(waitUntilHealthy(config, 600_000, () => undefined), /api is waiting to start again.*exit code 78.*not a loopback address/s);
});
