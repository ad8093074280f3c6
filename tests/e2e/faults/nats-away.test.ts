// The log is away (its server hangs, or is dead and held down): reads are answered, writes are refused and can be tried again, hosts go on by
// themselves, also through a restart of the agent, and tell everything when the log is back. Never touches another cluster.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { supervisorStatus } from '../../../scripts/cluster/health.ts';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { ask, demand, eventually, historyOf, logLines, NoAnswer, readJson, verified, type Answer } from './client.ts';
import { begun, startLine } from './load.ts';
import { troubleOf } from './under-test.ts';

const skip = clusterUnavailable() ?? false;
/** Longer than any refusal may take. */
const answerMs = 60_000;

let cluster: TestCluster;
let book: string;
/** Undoes what a test that failed has left hanging, so that the cluster can be stopped. */
let letGo: () => void = () => undefined;

before(async () => {
  if (skip !== false) return;
  book = await mkdtemp(join(tmpdir(), 'pouch-test-book-'));
  cluster = await startTestCluster();
});
after(async () => {
  if (skip !== false) return;
  letGo();
  await cluster.stop();
  await rm(book, { recursive: true, force: true });
});

async function created(name: string, command: string, hostConfig: object = {}): Promise<string> {
  const { Id } = await demand<{ Id: string }>(cluster.socket, 'POST', `/containers/create?name=${name}`, {
    body: { Image: 'busybox', Cmd: ['sh', '-c', `echo ${startLine} >> /book/${name}; ${command}`], HostConfig: { NetworkMode: 'none', Binds: [`${book}:/book`], ...hostConfig } },
  });
  return Id;
}

async function started(name: string, command: string, hostConfig: object = {}): Promise<string> {
  const id = await created(name, command, hostConfig);
  await demand(cluster.socket, 'POST', `/containers/${id}/start`);
  return id;
}

/** What keeps a log from being written, and how that ends. */
type Absence = { readonly name: string; begin(): Promise<void>; end(): Promise<void> };

async function supervisorPid(): Promise<number> {
  const status = await supervisorStatus(cluster.config);
  assert.ok(status !== undefined);
  return status.pid;
}

const hung: Absence = {
  name: 'hung',
  async begin() {
    const pid = await cluster.pid('nats');
    assert.ok(pid !== undefined);
    process.kill(pid, 'SIGSTOP');
    letGo = () => { process.kill(pid, 'SIGCONT'); };
  },
  async end() {
    letGo();
    letGo = () => undefined;
    await cluster.healthy();
  },
};

/** Its supervisor is held, so that nobody starts it again; the agent is started again by nobody then either. */
const dead: Absence = {
  name: 'dead',
  async begin() {
    const supervisor = await supervisorPid();
    const nats = await cluster.pid('nats');
    assert.ok(nats !== undefined);
    process.kill(supervisor, 'SIGSTOP');
    letGo = () => { process.kill(supervisor, 'SIGCONT'); };
    process.kill(nats, 'SIGKILL');
  },
  async end() {
    letGo();
    letGo = () => undefined;
    await cluster.healthy();
  },
};

async function answers(method: string, path: string, body?: unknown): Promise<Answer> {
  return await ask(cluster.socket, method, path, { timeoutMs: answerMs, ...(body === undefined ? {} : { body }) });
}

async function assertReads(id: string): Promise<void> {
  const now = Date.now() / 1_000;
  const paths = [
    '/_ping', '/version', '/info', '/containers/json?all=1', `/containers/${id}/json`, '/images/json', '/images/busybox/json', '/images/busybox/history', `/events?since=0&until=${now}`,
    '/cluster/health', '/cluster/hosts', '/cluster/containers', `/cluster/containers?at=${now}`, `/cluster/containers/${id}`, `/cluster/containers/${id}/history`, '/cluster/events?follow=0', '/openapi.json',
  ];
  await Promise.all(paths.map(async (path) => {
    const { status, text } = await answers('GET', path);
    assert.equal(status, 200, `GET ${path} without the log: ${status} ${text.slice(0, 300)}`);
  }));
}

async function assertRefusesWrites({ idle, running }: { idle: string; running: string }): Promise<void> {
  const asked: [string, string, unknown?][] = [
    ['POST', '/containers/create?name=refused', { Image: 'busybox' }], ['POST', '/containers/create', { Image: 'busybox' }],
    ['POST', `/containers/${idle}/start`], ['POST', `/containers/${idle}/rename?name=refused-too`], ['DELETE', `/containers/${idle}`],
    ['POST', `/containers/${running}/pause`], ['POST', `/containers/${running}/exec`, { Cmd: ['true'] }],
    ['POST', '/images/busybox/tag?repo=refused'], ['POST', '/images/create?fromImage=refused'],
    // What only hosts or the log itself can tell.
    ['GET', `/containers/${running}/logs?stdout=1`], ['GET', `/containers/${running}/top`], ['GET', '/cluster/verify'],
  ];
  await Promise.all(asked.map(async ([method, path, body]) => {
    const { status, headers, text } = await answers(method, path, body);
    assert.equal(status, 503, `${method} ${path} without the log: ${status} ${text.slice(0, 300)}`);
    assert.match(String(headers['retry-after']), /^\d+$/, `${method} ${path} says when to try again`);
    assert.ok((JSON.parse(text) as { message: string }).message.length > 10, text);
  }));
}

async function goOnWithout(t: TestContext, absence: Absence): Promise<void> {
  const label = absence.name;
  // Its first crash comes when the log is away, so that the delays between its starts are short ones.
  const crashing = await started(`crashing-${label}`, `while [ ! -e /book/gate-${label} ]; do sleep 0.05; done; echo again; exit 1`, { RestartPolicy: { Name: 'always' } });
  const idle = await created(`idle-${label}`, 'exit 0');
  const running = await started(`running-${label}`, `i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 0.2; done`);
  const leaving = await started(`leaving-${label}`, `while [ ! -e /book/gate-${label} ]; do sleep 0.05; done; echo "gone unseen"; exit 9`);
  const late = await started(`late-${label}`, `while [ ! -e /book/gate-late-${label} ]; do sleep 0.05; done; exit 1`, { RestartPolicy: { Name: 'always' } });
  const { State: { Pid } } = await readJson<{ State: { Pid: number } }>(cluster.socket, `/containers/${running}/json`);

  await absence.begin();
  await writeFile(join(book, `gate-${label}`), '');
  await assertReads(running);
  await assertRefusesWrites({ idle, running });
  await eventually('the crashing container is started again without the log', () => begun(book, `crashing-${label}`) >= 4 || undefined);
  if (absence === hung) {
    // The new agent has never seen the log: it goes by what it has kept.
    const agent = await cluster.pid('agent');
    await cluster.signal('agent', 'SIGKILL');
    await writeFile(join(book, `gate-late-${label}`), '');
    await eventually('an agent that is started without the log goes on with restart policies', async () => {
      const now = await cluster.pid('agent');
      return now !== undefined && now !== agent && begun(book, `late-${label}`) >= 3 ? true : undefined;
    });
  }
  await absence.end();

  const left = await eventually('the exit of the time is told', async () => {
    const { State } = await readJson<{ State: { Status: string; ExitCode: number } }>(cluster.socket, `/containers/${leaving}/json`);
    return State.Status === 'exited' ? State : undefined;
  });
  assert.equal(left.ExitCode, 9);
  assert.deepEqual(await logLines(cluster.socket, leaving), ['gone unseen']);
  const now = await readJson<{ State: { Pid: number; Running: boolean } }>(cluster.socket, `/containers/${running}/json`);
  assert.deepEqual([now.State.Running, now.State.Pid], [true, Pid]);
  (await logLines(cluster.socket, running)).forEach((line, at) => assert.equal(line, `tick ${at}`));

  for (const [name, id] of [[`crashing-${label}`, crashing], [`late-${label}`, late]] as const) {
    await demand(cluster.socket, 'POST', `/containers/${id}/stop?t=1`, { allow: [204, 304] });
    const starts = (await historyOf(cluster.socket, id)).filter(({ type }) => type === 'ContainerStarted').length;
    t.diagnostic(`${name} began ${starts} times`);
    assert.equal(starts, begun(book, name), 'the log knows every start');
    if (id === crashing) assert.equal((await logLines(cluster.socket, id)).length, starts);
  }
  if (absence === dead) {
    // What a dead server was asked is not done later either.
    assert.equal((await answers('GET', '/containers/refused/json')).status, 404);
    const { State, Name } = await readJson<{ Name: string; State: { Status: string } }>(cluster.socket, `/containers/${idle}/json`);
    assert.deepEqual([Name, State.Status], [`/idle-${label}`, 'created']);
  }
  await verified(cluster.socket);
  for (const name of [crashing, late, idle, running, leaving, 'refused']) {
    await ask(cluster.socket, 'DELETE', `/containers/${name}?force=1`).catch((error: unknown) => { if (!(error instanceof NoAnswer)) throw error; });
  }
}

for (const absence of [hung, dead]) {
  test(`with a log that is ${absence.name}: reads, refusals, restart policies, and all is told later`, { skip }, async (t) => {
    try {
      await goOnWithout(t, absence);
    } catch (error) {
      t.diagnostic(await troubleOf(cluster));
      throw error;
    }
  });
}
