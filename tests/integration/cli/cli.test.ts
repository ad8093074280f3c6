// The real CLI as a process against a stand-in for the API: transcripts, exit codes, streams, signals, errors.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DockerApiStandIn } from './docker-api-stand-in.ts';
import { pouch, pouchMain, startPouch } from './run-pouch.ts';

async function standIn(t: TestContext): Promise<DockerApiStandIn> {
  const api = await new DockerApiStandIn().start();
  t.after(() => api.stop());
  return api;
}

test('create prints id and name; a shell image without a command gets stdin and a terminal', async (t) => {
  const api = await standIn(t);
  const { code, stdout } = await pouch(api, ['create', '--name', 'hypervisor', 'docker.io/library/busybox:latest']);
  assert.equal(code, 0);
  assert.match(stdout, /^container ID: [0-9a-f]{64}, name: hypervisor\n$/);
  const [created] = api.asked('POST', /create$/);
  assert.equal(created?.query['name'], 'hypervisor');
  assert.deepEqual([created?.body?.['Tty'], created?.body?.['OpenStdin']], [true, true]);
  const named = await pouch(api, ['create', 'busybox', 'echo', 'x']);
  assert.match(named.stdout, /^container ID: ([0-9a-f]{6})[0-9a-f]{58}, name: \1\n$/);
  assert.equal(api.asked('POST', /create$/)[1]?.body?.['Tty'], undefined);
});

test('ps lists every container, narrows with -f, prints ids and JSON', async (t) => {
  const api = await standIn(t);
  await pouch(api, ['create', '--name', 'hypervisor', 'busybox']);
  await pouch(api, ['run', '-d', '--name', 'up', 'busybox', 'signals']);
  const [up, made] = ['up', 'hypervisor'].map((name) => api.box(name)?.id ?? '');
  const all = (await pouch(api, ['ps'])).stdout.split('\n').slice(0, -1).map((line) => line.split(/ {2,}/));
  assert.deepEqual(all, [['Name', 'ID', 'Status', 'Image', 'Runtime'], ['hypervisor', made?.slice(0, 6), 'Created', 'busybox', 'runc'], ['up', up?.slice(0, 6), 'Up 3 seconds', 'busybox', 'runc']]);
  assert.equal((await pouch(api, ['ps', '-q', '--no-trunc', '-f', 'status=running'])).stdout, `${up}\n`);
  assert.equal((JSON.parse((await pouch(api, ['ps', '-f', 'status=running', '--format', 'json'])).stdout) as { Name: string }).Name, 'up');
  assert.equal((await pouch(api, ['ps', '--format', '{{.Name}}={{.State}}'])).stdout, 'hypervisor=created\nup=running\n');
});

test('run: attach and wait come before start; streams stay apart; the exit code is the container’s', async (t) => {
  const api = await standIn(t);
  const { code, stdout, stderr } = await pouch(api, ['run', '--rm', '-e', 'A=1', 'busybox', 'both']);
  assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: 'to stdout\n', stderr: 'to stderr\n' });
  assert.deepEqual(api.seen.map(({ method, path }) => `${method} ${path.replace(/[0-9a-f]{64}/, 'ID')}`), ['POST /containers/create', 'POST /containers/ID/attach', 'POST /containers/ID/wait', 'POST /containers/ID/start']);
  assert.equal(api.asked('POST', /wait$/)[0]?.query['condition'], 'removed');
  assert.equal(api.boxes.size, 0);
});

test('stdin is half-closed: what reads it to the end still answers', async (t) => {
  const api = await standIn(t);
  assert.deepEqual(await pouch(api, ['run', '-i', 'busybox', 'cat'], 'some input'), { code: 0, stdout: 'some input\nEOF\n', stderr: '' });
  const { stdout } = await pouch(api, ['run', '-i', 'busybox', 'cat'], 'x'.repeat(3_000_000));
  assert.equal(stdout.length, 3_000_005);
});

test('exec: streams, stdin, exit code', async (t) => {
  const api = await standIn(t);
  await pouch(api, ['run', '-d', '--name', 'up', 'busybox', 'signals']);
  assert.deepEqual(await pouch(api, ['exec', '-u', 'me', 'up', 'both']), { code: 7, stdout: 'to stdout\n', stderr: 'to stderr\n' });
  assert.deepEqual(await pouch(api, ['exec', '-i', 'up', 'cat'], 'in'), { code: 0, stdout: 'in\nEOF\n', stderr: '' });
  assert.equal(api.asked('POST', /\/exec$/)[0]?.body?.['User'], 'me');
  assert.equal((await pouch(api, ['exec', 'nobody', 'both'])).code, 1);
});

test('a missing image is pulled in plain lines, then the container runs', async (t) => {
  const api = await standIn(t);
  const { code, stdout, stderr } = await pouch(api, ['run', 'far/away:1', 'echo', 'hi']);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: 'hi\n' });
  assert.match(stderr, /not here yet[\s\S]*layer1: Downloading\nlayer1: Pull complete\nStatus: Downloaded newer image for far\/away:1\n$/);
  assert.equal(stderr.match(/Downloading/g)?.length, 1);
  assert.deepEqual(await pouch(api, ['run', '--quiet', 'far/quiet:1', 'echo', 'hi']), { code: 0, stdout: 'hi\n', stderr: '' });
  const never = await pouch(api, ['run', '--pull', 'never', 'far/never:1', 'echo']);
  assert.deepEqual([never.code, never.stderr], [125, 'pouch: No such image: far/never:1\n']);
  const denied = await pouch(api, ['pull', 'missing']);
  assert.deepEqual([denied.code, denied.stderr], [1, 'pouch: pull access denied for missing:latest\n']);
});

test('exit codes: 127 for no such program, 125 for no such flag or image; with --rm nothing is left', async (t) => {
  const api = await standIn(t);
  const missing = await pouch(api, ['run', '--rm', 'busybox', 'nosuch']);
  assert.deepEqual([missing.code, missing.stderr], [127, 'pouch: exec: "nosuch": executable file not found in $PATH\n']);
  assert.equal(api.boxes.size, 0);
  assert.equal((await pouch(api, ['run', '--nosuch', 'busybox'])).code, 125);
  assert.equal((await pouch(api, ['run', '-it', 'busybox'])).stderr, 'pouch: the input device is not a TTY (leave out -t where input is piped)\n');
});

test('signals go to the container, and its exit code comes back', async (t) => {
  const api = await standIn(t);
  const run = startPouch(api, ['run', '--name', 'sig', 'busybox', 'signals']);
  await run.says('ready\n');
  run.child.kill('SIGUSR1');
  await run.says('got USR1\n');
  run.child.kill('SIGINT');
  await run.says('got INT\n');
  run.child.kill('SIGTERM');
  assert.deepEqual(await run.ended, { code: 100, stdout: 'ready\ngot USR1\ngot INT\ngot TERM\n', stderr: '' });
});

test('a container that takes no notice does not hold a person fast: the third INT leaves', async (t) => {
  const api = await standIn(t);
  const run = startPouch(api, ['run', 'busybox', 'signals']);
  await run.says('ready\n');
  for (let number = 1; number <= 2; number++) {
    run.child.kill('SIGINT');
    await run.says('got INT\n'.repeat(number));
  }
  run.child.kill('SIGINT');
  const end = await run.ended;
  assert.equal(end.code, 130);
  assert.match(end.stderr, /leaving; the container goes on/);
});

test('start -i with piped input gives the terminal container its input and an end of it', async (t) => {
  const api = await standIn(t);
  await pouch(api, ['create', '--name', 'hypervisor', 'busybox']);
  const { code, stdout } = await pouch(api, ['start', 'hypervisor', '-i'], 'hello\n');
  assert.equal(code, 0);
  assert.match(stdout, /you said hello/);
});

test('detached runs print the id; cidfile holds it', async (t) => {
  const api = await standIn(t);
  const cidfile = join(api.folder, 'cid');
  const { stdout } = await pouch(api, ['run', '-d', '--cidfile', cidfile, 'busybox', 'signals']);
  assert.match(stdout, /^[0-9a-f]{64}\n$/);
  assert.equal(readFileSync(cidfile, 'utf8'), stdout.trim());
  assert.equal(api.asked('POST', /attach$/).length, 0);
  assert.equal((await pouch(api, ['run', '--cidfile', cidfile, 'busybox', 'echo'])).code, 125);
});

test('several containers are told one by one; one failure makes the code 1 and stops nothing', async (t) => {
  const api = await standIn(t);
  for (const name of ['one', 'two']) await pouch(api, ['create', '--name', name, 'busybox', 'cat']);
  assert.deepEqual(await pouch(api, ['stop', '-t', '3', 'one', 'nosuch', 'two']), { code: 1, stdout: 'one\ntwo\n', stderr: 'pouch: No such container: nosuch\n' });
  assert.equal(api.asked('POST', /stop$/)[0]?.query['t'], '3');
  assert.equal((await pouch(api, ['rm', '-f', 'one', 'two'])).stdout, 'one\ntwo\n');
});

test('without a cluster there is one line with a hint, and completions are silent', async (t) => {
  const api = await standIn(t);
  const nowhere = { socketPath: join(api.folder, 'nowhere.sock') };
  const { code, stderr } = await pouch(nowhere, ['ps']);
  assert.equal(code, 1);
  assert.equal(stderr, `pouch: cannot reach the API: there is no socket ${nowhere.socketPath} (is the cluster up? npm run up)\n`);
  assert.deepEqual(await pouch(nowhere, ['__complete', 'containers']), { code: 1, stdout: '', stderr: '' });
  assert.equal((await pouch(api, ['-H', `unix://${nowhere.socketPath}`, 'ps'])).code, 1);
});

test('pouch alone shows help, an unknown command suggests the nearest', async (t) => {
  const api = await standIn(t);
  const alone = await pouch(api, []);
  assert.equal(alone.code, 0);
  assert.match(alone.stdout, /Usage: pouch/);
  assert.deepEqual(await pouch(api, ['stat']), { code: 1, stdout: '', stderr: "pouch: unknown command 'stat' (Did you mean one of start, stats?)\n" });
  assert.match((await pouch(api, ['--version'])).stdout, /^pouch \d+\.\d+\.\d+\n$/);
});

test('a reader that goes away ends pouch quietly', async (t) => {
  const api = await standIn(t);
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `"${process.execPath}" "${pouchMain}" run busybox flood | head -c 10`], { env: { ...process.env, POUCH_HOST: `unix://${api.socketPath}` } });
  assert.deepEqual([stdout, stderr], ['xxxxxxxxxx', '']);
});

test('a slow reader gets everything: what was printed leaves before the process does', async (t) => {
  const api = await standIn(t);
  const child = spawn(process.execPath, [pouchMain, 'run', 'busybox', 'flood'], { env: { ...process.env, POUCH_HOST: `unix://${api.socketPath}` }, stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const patience = AbortSignal.timeout(30_000);
  while ([...api.boxes.values()].every((box) => box.status !== 'exited') && !patience.aborted) await delay(20);
  // Nothing has been read so far; a reader that comes much later than the container's end must not find less.
  await delay(300);
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => void (bytes += chunk.length));
  assert.deepEqual((await closed)[0], 0);
  assert.equal(bytes, 64 * 64 * 1024);
});

test('names are completed from the API', async (t) => {
  const api = await standIn(t);
  await pouch(api, ['create', '--name', 'one', 'busybox', 'cat']);
  await pouch(api, ['run', '-d', '--name', 'two', 'busybox', 'signals']);
  assert.equal((await pouch(api, ['__complete', 'containers'])).stdout, 'one\ntwo\n');
  assert.equal((await pouch(api, ['__complete', 'running'])).stdout, 'two\n');
});

test('the launcher works from anywhere', async (t) => {
  const launcher = join(import.meta.dirname, '../../../packages/cli/bin/pouch');
  assert.ok(existsSync(launcher));
  const api = await standIn(t);
  const { stdout } = await promisify(execFile)(launcher, ['--version'], { cwd: api.folder });
  assert.match(stdout, /^pouch /);
});
