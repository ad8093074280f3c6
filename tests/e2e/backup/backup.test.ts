// The NATS data of a cluster is lost and put back from a backup while its containers run on: all that ran runs as it did, and log, names, secrets, tokens, services and history are
// those of the backup. What was made after it is left alone, what was removed or started anew after it is told to the log.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ClusterHosts } from '@pouch/contracts';
import { startCluster, stopCluster } from '../../../scripts/cluster/cluster.ts';
import { setStoreAside } from '../../../scripts/cluster/nats-store.ts';
import { authorityFile, orderForRestore } from '../../../scripts/cluster/options.ts';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { until } from '../../fixtures/native.ts';
import { machines } from '../clients/runtimes.ts';
import { Clients, unavailable, type Ended } from '../clients/clients.ts';

const skip = unavailable();
const options = { skip, timeout: 330_000 };
const silent = (): void => undefined;
const sleeper = ['--network', 'none', 'busybox', 'sleep', '1000000'];
let cluster: TestCluster;
let on: Clients;
let file: string;
/** Pids of what ran when the NATS data was lost, by name. */
const pids = new Map<string, string>();
let before_: { readonly ps: string; readonly past: string; readonly atMs: number; readonly secrets: string; readonly tokens: string; readonly tasks: string; readonly events: string };

before(async () => {
  if (skip !== false) return;
  cluster = await startTestCluster({ machines });
  on = new Clients(cluster);
  file = join(cluster.directory, 'pouch.backup');
});
after(async () => {
  await on?.close();
  await cluster?.stop();
});

const pidOf = async (name: string): Promise<string> => (await on.p('inspect', '-f', '{{.State.Status}} {{.State.Pid}}', name)).trim();
const eventsUntil = async (atMs: number): Promise<string> => await on.p('events', '--since', '0', '--until', new Date(atMs).toISOString(), '--format', '{{.Type}} {{.Action}} {{.Actor.ID}}');
const restore = async (path: string, ...more: readonly string[]): Promise<Ended> => await on.tryPouch(['cluster', 'restore', '-q', '--authority', authorityFile(cluster.config), '--nats', `127.0.0.1:${cluster.config.natsPort}`, ...more, path]);

test('a backup is taken while containers run, and is whole', options, async () => {
  await on.tryPouch(['secret', 'create', 'key'], 'of the backup');
  const runs = { web: [], moves: ['--restart', 'always'], goes: [], sealed: ['--secret', 'key'], ...(machines ? { machine: ['--runtime', 'runv'] } : {}) };
  await Promise.all(Object.entries(runs).map(async ([name, flags]) => await on.p('run', '-d', '--name', name, ...flags, ...(name === 'web' ? ['--network', 'none', 'busybox', 'sh', '-c', 'echo begun; sleep 1000000'] : sleeper))));
  assert.equal((await on.tryPouch(['run', '--name', 'ended', '--network', 'none', 'busybox', 'sh', '-c', 'exit 3'])).code, 3);
  await on.p('service', 'create', '--name', 'twins', '--replicas', '2', ...sleeper);
  await on.p('cluster', 'token', 'create', 'ci', '--role', 'operate');
  await until('both replicas run', async () => /2\/2/.test(await on.p('service', 'ls')) || undefined);
  const saved = await on.tryPouch(['cluster', 'backup', file]);
  assert.equal(saved.code, 0, saved.stderr);
  assert.match(saved.stderr, /Saved .*needed to restore it: authority\.json and secrets\.key/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.ok(!existsSync(`${file}.part`));
  const checked = await restore(file, '--check');
  assert.deepEqual([checked.code, / is whole: /.test(checked.stdout)], [0, true], checked.stderr);
  const atMs = Date.now();
  before_ = {
    atMs, ps: await on.p('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}'), past: await on.p('ps', '-a', '--at', new Date(atMs).toISOString(), '--format', '{{.Names}} {{.State}}'), secrets: await on.p('secret', 'ls', '-q'),
    tokens: await on.p('cluster', 'token', 'ls', '--format', '{{.Name}}'), tasks: await on.p('service', 'ps', 'twins', '--format', '{{.ID}}'), events: await eventsUntil(atMs),
  };
});

test('the log is lost; what is no whole backup is refused, and so is a machine without the authority', options, async () => {
  for (const name of ['later', 'spare']) await on.p('run', '-d', '--name', name, ...sleeper);
  assert.equal((await on.tryPouch(['run', '--name', 'done', '--network', 'none', 'busybox', 'sh', '-c', 'echo was here; exit 4'])).code, 4);
  await on.p('restart', '-t', '0', 'moves');
  await on.p('rm', '-f', 'goes');
  for (const name of ['web', 'moves', 'sealed', 'later', ...(machines ? ['machine'] : [])]) pids.set(name, await pidOf(name));
  await stopCluster(cluster.options, { keepContainers: true }, silent);
  assert.notEqual(await setStoreAside(join(cluster.config.data, 'nats'), 'lost'), null);
  await rm(join(cluster.config.data, 'api'), { recursive: true });
  await startCluster({ ...cluster.options, processes: orderForRestore }, silent);

  const damaged = join(cluster.directory, 'damaged.backup');
  await copyFile(file, damaged);
  await truncate(damaged, (await stat(file)).size - 2_000);
  const refused = await restore(damaged);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /damaged\.backup cannot be restored: it is cut off: it has \d+ of \d+ bytes \(nothing was changed\)/);
  const noAuthority = await on.tryPouch(['cluster', 'restore', '--authority', join(cluster.directory, 'none.json'), file]);
  assert.deepEqual([noAuthority.code, /none\.json is not there \(restore on a machine that founds/.test(noAuthority.stderr)], [1, true], noAuthority.stderr);
});

test('restored, everything that ran runs on, and the log is the one of the backup', options, async () => {
  const restored = await restore(file);
  assert.deepEqual([restored.code, /^Restored .*Now start api and scheduler/s.test(restored.stdout)], [0, true], restored.stderr);
  const twice = await restore(file);
  assert.equal(twice.code, 1);
  assert.match(twice.stderr, /there is a log already, with \d+ messages.*--for-restore/);
  await stopCluster(cluster.options, { keepContainers: true }, silent);
  await startCluster(cluster.options, silent);

  const gone = /^\S+ goes\n|\n\S+ goes$/m;
  await until('what was removed after the backup is gone', async () => !gone.test(await on.p('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}')) || undefined);
  assert.equal(await on.p('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}'), before_.ps.replace(gone, ''));
  for (const [name, pid] of pids) {
    if (name === 'later') continue;
    await until(`${name} is told as it is`, async () => (await pidOf(name)) === pid || undefined);
  }
  assert.equal(await on.p('ps', '-a', '--at', new Date(before_.atMs).toISOString(), '--format', '{{.Names}} {{.State}}'), before_.past);
  assert.equal(await eventsUntil(before_.atMs), before_.events, 'events since the beginning');
  assert.equal(await on.p('logs', 'web'), 'begun');
  assert.match(await pidOf('ended'), /^exited/);
  assert.equal(await on.p('secret', 'ls', '-q'), before_.secrets);
  assert.equal(await on.p('exec', 'sealed', 'cat', '/run/secrets/key'), 'of the backup');
  assert.equal(await on.p('run', '--rm', '--secret', 'key', '--network', 'none', 'busybox', 'cat', '/run/secrets/key'), 'of the backup', 'the sealed bytes came back');
  assert.equal(await on.p('cluster', 'token', 'ls', '--format', '{{.Name}}'), before_.tokens);
  assert.equal(await on.p('service', 'ps', 'twins', '--format', '{{.ID}}'), before_.tasks);
  assert.match((await on.tryPouch(['run', '-d', '--name', 'web', ...sleeper])).stderr, /already in use/, 'names are held');
  await on.p('run', '-d', '--name', 'goes', ...sleeper);
  assert.match(await on.p('cluster', 'verify'), /^Log and projection agree/);
});

test('what was made after the backup is left alone and told, also after restarts of the agent', options, async () => {
  const pid = pids.get('later')?.split(' ')[1] ?? '';
  assert.match((await on.tryPouch(['inspect', 'later'])).stderr, /No such/i);
  const unknown = async (): Promise<readonly (string | null)[]> => (await on.p('cluster', 'hosts', '--format', 'json')).trim().split('\n').map((line) => JSON.parse(line) as ClusterHosts['hosts'][number]).flatMap(({ facts }) => (facts.unknown ?? []).map(({ name }) => name)).sort();
  await until('the host tells of it', async () => (await unknown()).includes('later') || undefined);
  assert.deepEqual(await unknown(), ['done', 'later', 'spare']);
  const agent = await cluster.pid('agent');
  await cluster.signal('agent', 'SIGKILL');
  await until('the agent is there again', async () => { const now = await cluster.pid('agent'); return (now !== undefined && now !== agent) || undefined; });
  await cluster.healthy();
  // On a busy machine the host may be told lost before its agent beats again.
  await until('containers are made there', async () => (await on.tryPouch(['run', '--rm', '--network', 'none', 'busybox', 'true'])).code === 0 || undefined);
  assert.deepEqual(await unknown(), ['done', 'later', 'spare']);
  assert.ok((await readFile(`/proc/${pid}/cmdline`, 'utf8')).startsWith('sleep'), 'it runs');
  assert.match(await on.p('cluster', 'hosts'), /3 unknown to the log/);
});

test('an operator decides on them: adopted they are as they were, a name that is taken is a refusal, removed they are gone', options, async () => {
  const host = cluster.config.hostId ?? '';
  const listed = async (): Promise<ReadonlyMap<string, string>> => new Map((await on.p('cluster', 'hosts', 'unknown', '--format', '{{.Name}} {{.ID}} {{.State}}')).split('\n').filter((line) => line !== '').map((line) => { const [name = '', id = '', state = ''] = line.split(' '); return [name, `${id} ${state}`]; }));
  const found = await listed();
  const idOf = (name: string): string => found.get(name)?.split(' ')[0] ?? '';
  assert.deepEqual([...found].map(([name, told]) => `${name} ${told.split(' ')[1]}`).sort(), ['done exited', 'later running', 'spare running']);
  assert.match(await on.p('cluster', 'hosts', 'unknown', host), /^HOST +ID +NAME +IMAGE +STATE +CREATED/im);
  for (const [args, said] of [[['adopt', host], /--all/], [['adopt', host, 'ffff'], /has no container ffff/], [['adopt', 'nowhere', 'ffff'], /No such host: nowhere/], [['adopt', host, 'X!'], /container/]] as const) assert.match((await on.tryPouch(['cluster', 'hosts', ...args])).stderr, said);

  await on.p('run', '-d', '--name', 'spare', ...sleeper);
  const taken = await on.tryPouch(['cluster', 'hosts', 'adopt', host, idOf('spare')]);
  assert.deepEqual([taken.code, /name "\/spare" is already in use/.test(taken.stderr)], [1, true], taken.stderr);
  assert.equal(await on.p('cluster', 'hosts', 'remove-unknown', host, idOf('spare').slice(0, 12)), idOf('spare').slice(0, 12));
  await on.p('cluster', 'hosts', 'adopt', host, idOf('later'));
  assert.equal(await pidOf('later'), pids.get('later'), 'the same process');
  assert.equal(await on.p('exec', 'later', 'echo', 'reached'), 'reached');
  await on.p('cluster', 'hosts', 'adopt', host, '--all');
  assert.equal(await on.p('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'done'), 'exited 4');
  assert.equal(await on.p('logs', 'done'), 'was here');
  assert.equal((await listed()).size, 0);
  await until('the host tells of none', async () => !/unknown to the log/.test(await on.p('cluster', 'hosts')) || undefined);
  // They are containers like any other from here on.
  await on.p('stop', '-t', '0', 'later');
  assert.match(await pidOf('later'), /^exited/);
  await on.p('start', 'done');
  await on.p('rm', '-f', 'later', 'done', 'spare');
  assert.match(await on.p('cluster', 'verify'), /^Log and projection agree/);
});
