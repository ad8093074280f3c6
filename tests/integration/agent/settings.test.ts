// Settings take effect inside the container, and impossible ones are told in words.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ContainerSpec } from '@pouch/domain';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { aSpec } from '../../fixtures/domain.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 180_000 };
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
});
after(async () => { await fixture?.stop(); });

/** Runs a shell script in a container and answers with what it wrote. */
async function run(script: string, different: Partial<ContainerSpec> = {}): Promise<string> {
  const id = await fixture.created({ cmd: ['sh', '-c', script], ...different });
  await fixture.request(id, { kind: 'start' });
  const { lastExit } = await fixture.until<Extract<Parameters<Parameters<Fixture['until']>[1]>[0], { status: 'exited' }>>(id, (container) => container.status === 'exited' || container.failures.length > 0);
  assert.equal(lastExit?.error ?? null, null);
  await fixture.agent().idle();
  const output = await fixture.output(id);
  await fixture.request(id, { kind: 'remove', force: true });
  return output.trim();
}

test('user, groups, home, working directory, environment, host name', options, async () => {
  assert.equal(await run('id -u; id -g; id -G; echo $HOME; pwd; echo $GREETING; hostname', { user: 'www', groupAdd: ['7'], workingDir: '/made/up', env: ['PATH=/bin', 'GREETING=hi'], hostname: 'here' }),
    '33\n33\n33 7 50\n/home\n/made/up\nhi\nhere');
});

test('generated files: hosts with extra ones, resolv.conf, hostname', options, async () => {
  const text = await run('cat /etc/hosts /etc/resolv.conf /etc/hostname', { hostname: 'one', extraHosts: ['other:10.1.2.3'], dns: ['9.9.9.9'], dnsSearch: ['example.org'] });
  for (const part of ['127.0.0.1\tlocalhost', '10.1.2.3\tother', 'nameserver 9.9.9.9', 'search example.org', 'one']) assert.ok(text.includes(part), `${part} in ${text}`);
});

test('binds, read-only ones, tmpfs with a size, a read-only root', options, async () => {
  const source = join(fixture.directory, 'bound');
  const made = join(fixture.directory, 'made/by/the/agent');
  mkdirSync(source);
  const bind = { type: 'bind', declaredAs: 'binds', propagation: 'rprivate', recursive: true, createSource: true } as const;
  const text = await run('echo data > /data/file; echo x > /fixed/file && echo wrote; df -k /scratch | tail -1; touch /root/x || echo readonly', {
    readonlyRootfs: true,
    mounts: [{ ...bind, source, target: '/data', readonly: false }, { ...bind, source: made, target: '/fixed', readonly: true }, { type: 'tmpfs', declaredAs: 'tmpfs', target: '/scratch', sizeBytes: 4 << 20, mode: null, options: [] }],
  });
  assert.equal(readFileSync(join(source, 'file'), 'utf8'), 'data\n');
  assert.ok(existsSync(made));
  assert.match(text, / 4096 /);
  assert.ok(text.includes('readonly') && !text.includes('wrote'));
  rmSync(made, { recursive: true });
});

test('a mount whose source is missing fails the creation', options, async () => {
  const id = await fixture.assign({ mounts: [{ type: 'bind', declaredAs: 'mounts', source: '/no/such/place', target: '/x', readonly: false, propagation: 'rprivate', recursive: true, createSource: false }] });
  const removed = await fixture.until(id, (container) => container.status === 'removed');
  assert.match(JSON.stringify(removed), /bind source path does not exist: \/no\/such\/place/);
});

test('a user that the image does not know fails the creation in Docker\'s words', options, async () => {
  const id = await fixture.assign({ user: 'nemo' });
  const removed = await fixture.until(id, (container) => container.status === 'removed');
  assert.match(JSON.stringify(removed), /unable to find user nemo: no matching entries in passwd file/);
});

test('limits: memory, pids, cpu, open files; capabilities; seccomp', options, async () => {
  const resources = { ...aSpec().resources, memoryBytes: 64 << 20, pidsLimit: 50, ulimits: [{ name: 'nofile', soft: 100, hard: 200 }] };
  const text = await run('ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; grep NoNewPrivs /proc/self/status', { resources, capDrop: ['ALL'], capAdd: ['CHOWN'], noNewPrivileges: true });
  assert.match(text, /^100\n/);
  assert.match(text, new RegExp(String(64 << 20)));
  assert.match(text, /CapEff:\t0000000000000001/);
  assert.match(text, /Seccomp:\t2/);
  assert.match(text, /NoNewPrivs:\t1/);
});

test('privileged, host network, init', options, async () => {
  assert.match(await run('grep Seccomp: /proc/self/status; readlink /proc/self/ns/net', { privileged: true, network: { mode: 'host' } }), /Seccomp:\t0/);
  assert.match(await run('cat /proc/1/comm', { init: true }), /docker-init|container-init/);
});

test('memory that runs out kills the container, and is told', options, async () => {
  const resources = { ...aSpec().resources, memoryBytes: 16 << 20, memorySwapBytes: 16 << 20 };
  const id = await fixture.created({ cmd: ['sh', '-c', 'exec tail /dev/zero'], resources });
  await fixture.request(id, { kind: 'start' });
  const { lastExit } = await fixture.untilStatus(id, 'exited');
  assert.equal(lastExit.exitCode, 137);
  assert.equal(lastExit.oomKilled, true);
  await eventually(() => fixture.events(id).some(({ type }) => type === 'ContainerOomKilled'), 'it is told');
});

test('crun runs containers where it is installed and can', options, async (t) => {
  if (!fixture.agent().rooms.config.runtimes.some(({ name }) => name === 'crun')) return t.skip('not installed: crun');
  const id = await fixture.created({ cmd: ['sh', '-c', 'exit 3'], runtime: 'crun' });
  await fixture.request(id, { kind: 'start' });
  const ended = await fixture.until(id, (container) => container.status === 'exited' || container.failures.length > 0);
  if (ended.failures.length > 0) return t.skip(`crun cannot run here: ${ended.failures[0]?.message}`);
  assert.equal('lastExit' in ended && ended.lastExit?.exitCode, 3);
});
