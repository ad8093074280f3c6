// The scheduler on a real log: requests get a host or a reason, once, whoever leads; names of what is gone are free again.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { containerSubject, hostLostAfterMs, hostSubject, placementSubject, toMessage, type Message, type NameClaim } from '@pouch/contracts';
import { containerId, decideContainer, decideHost, decidePlacement, fold, hostId, type Container, type ContainerCommand, type ContainerId, type ContainerSpec, type Host, type Placement } from '@pouch/domain';
import { connectNats, execute, openClaims, openEventLog, type Claims, type NatsLink, type PouchLog, type Term } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { Liveness } from '../../../services/scheduler/src/liveness.ts';
import { View } from '../../../services/scheduler/src/view.ts';
import { startScheduler, type Scheduler } from '../../../services/scheduler/src/scheduler.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { aHostsFacts, aSpec, noNetwork } from '../../fixtures/domain.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const one = hostId('one');
let nats: NatsFixture;
let link: NatsLink;
let log: PouchLog;
let claims: Claims<NameClaim>;
const schedulers: Scheduler[] = [];

function schedulerOn(url: string, name: string): Scheduler {
  const scheduler = startScheduler({
    config: { natsUrl: url, natsCredentials: null, natsCa: null, natsReplicas: 1, name, retention: { maxAgeMs: 86_400_000, maxCount: 1_000 }, strategy: 'spread', logLevel: 'silent' }, logger,
    onFailed: (error) => { throw error; },
  });
  schedulers.push(scheduler);
  return scheduler;
}

async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    await delay(50);
  }
  throw new assert.AssertionError({ message: `never came true: ${what}` });
}

const meta = { atMs: 1, service: 'api', actor: 'test', cause: null } as const;

async function ask(different: Partial<ContainerSpec> = {}, name = `c-${randomBytes(4).toString('hex')}`): Promise<ContainerId> {
  const id = containerId(randomBytes(32).toString('hex'));
  await execute({
    log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta, cached: { seq: 0, snapshot: null },
    decide: (state) => decidePlacement(state, { type: 'RequestPlacement', id, name, spec: aSpec(different) }, Date.now()),
  });
  return id;
}

async function report(id: ContainerId, command: ContainerCommand): Promise<void> {
  await execute({ log, kind: 'container', subject: containerSubject(one, id), commandId: randomUUID(), meta, decide: (state) => decideContainer(state, command, Date.now()) });
}

const placementOf = async (id: ContainerId) => (await log.last(placementSubject(id)))?.message.snapshot as Placement | undefined;
const containerOf = async (id: ContainerId) => (await log.last(containerSubject(one, id)))?.message.snapshot as Container | undefined;

before(async () => {
  nats = await startNats();
  link = connectNats({ servers: nats.url, name: 'test', logger });
  log = openEventLog<Message>({ link, logger, check: toMessage });
  await log.ready(20_000);
  claims = openClaims<NameClaim>({ link, logger });
});
after(async () => {
  for (const scheduler of schedulers) await scheduler.stop();
  await log.close();
  await link.close();
  await nats.stop();
});

test('without a host the request is refused with a reason', async () => {
  schedulerOn(nats.url, 'first');
  const id = await ask();
  const placement = await until('refused', async () => { const now = await placementOf(id); return now?.status === 'refused' ? now : null; });
  assert.match(placement.message, /no host has joined/);
});

test('with a host the request is placed, and the container is on the host\'s subject', async () => {
  await execute({ log, kind: 'host', subject: hostSubject(one), commandId: randomUUID(), meta, decide: (state) => decideHost(state, { type: 'AnnounceHost', id: one, facts: aHostsFacts() }, Date.now()) });
  const ids = await Promise.all(Array.from({ length: 100 }, () => ask()));
  for (const id of ids) assert.equal((await until('assigned', () => containerOf(id))).status, 'assigned');
  assert.equal((await placementOf(ids[0] as ContainerId))?.status, 'placed');
});

test('an unknown runtime is refused with the list of those that are there', async () => {
  const id = await ask({ runtime: 'kata' });
  const placement = await until('refused', async () => { const now = await placementOf(id); return now?.status === 'refused' ? now : null; });
  assert.match(placement.message, /no runtime "kata"; it has runc/);
});

test('a host that rejects is not asked again for the same request', async () => {
  const id = await ask();
  await until('assigned', () => containerOf(id));
  await report(id, { type: 'ReportRejected', code: 'conflict', message: 'port 80 is taken by somebody else' });
  const placement = await until('refused', async () => { const now = await placementOf(id); return now?.status === 'refused' ? now : null; });
  assert.match(placement.message, /port 80 is taken by somebody else/);
});

test('the name of a removed container is released, another\'s claim stays', async () => {
  const id = await ask({}, 'mine');
  await claims.claim('mine', { containerId: id, claimedAtMs: Date.now() });
  await claims.claim('other', { containerId: 'f'.repeat(64), claimedAtMs: Date.now() });
  await until('assigned', () => containerOf(id));
  await report(id, { type: 'ReportCreated' });
  assert.notEqual(await claims.get('mine'), null);
  await report(id, { type: 'ReportRemoved' });
  await until('released', async () => (await claims.get('mine')) === null);
  assert.notEqual(await claims.get('other'), null);
});

test('the host ports of a container that has ended are another one\'s to have, as in Docker; those of one that runs are not', async () => {
  const ports = [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8_080 }] as const;
  const first = await ask({ ports });
  await until('assigned', () => containerOf(first));
  await report(first, { type: 'ReportCreated' });
  const beside = await ask({ ports });
  await until('assigned beside one that was only created', () => containerOf(beside));
  await report(first, { type: 'RequestAction', commandId: 'start-1', action: { kind: 'start' } });
  await report(first, { type: 'ReportStarted', byPolicy: false, run: { startId: 'start-1', startedAtMs: 1, pid: 2, network: noNetwork } });
  const refused = await ask({ ports });
  assert.match((await until('refused', async () => { const now = await placementOf(refused); return now?.status === 'refused' ? now : null; })).message, /host port 8080\/tcp is taken/);
  await report(first, { type: 'ReportExit', hostShutdown: false, exit: { startId: 'start-1', startedAtMs: 1, finishedAtMs: 2, exitCode: 0, oomKilled: false, error: null } });
  const second = await ask({ ports });
  await until('assigned', () => containerOf(second));
});

test('a host that has come long after its scheduler is not lost before it has had the time to be heard', async () => {
  let nowMs = 1_000;
  const told: unknown[] = [];
  const clock = { now: () => nowMs, monotonicMs: () => nowMs };
  const hosts: Host[] = [];
  const refusing = { last: (subject: string) => { told.push(subject); return Promise.reject(new Error('enough')); } } as unknown as PouchLog;
  const liveness = new Liveness({ hosts: () => hosts, isKnown: (id) => hosts.some((host) => host.id === id), connected: () => true, log: refusing, clock, logger });
  const term = { epoch: 1, signal: new AbortController().signal } as Term;
  const checkFor = async (ms: number): Promise<void> => {
    for (const end = nowMs + ms; nowMs < end; nowMs += 1_000) await liveness.check(term).catch(() => undefined);
  };
  await checkFor(hostLostAfterMs * 2);
  hosts.push({ id: one, facts: aHostsFacts(), joinedAtMs: nowMs, state: 'up', stateSinceMs: nowMs, cordoned: false });
  await checkFor(hostLostAfterMs);
  assert.deepEqual(told, []);
  await checkFor(hostLostAfterMs);
  assert.ok(told.length > 0);
});

test('the name of a container that its host has rejected is kept for it until its placement is decided', () => {
  const view = new View();
  const id = containerId('a'.repeat(64));
  const placed = [{ type: 'PlacementRequested', id, name: 'kept', spec: aSpec(), atMs: 1 }, { type: 'ContainerPlaced', hostId: one, epoch: 1, verdicts: [], atMs: 2 }] as const;
  const rejected = [{ type: 'ContainerAssigned', id, hostId: one, name: 'kept', spec: aSpec(), atMs: 3 }, { type: 'ContainerRejected', code: 'conflict', message: 'no', atMs: 4 }] as const;
  const recorded = (seq: number, subject: string, kind: 'placement' | 'container', snapshot: unknown) => view.apply({ seq, subject, storedAtMs: 1, message: { v: 1, id: String(seq), kind, events: [], snapshot, meta } as unknown as Message });
  recorded(1, placementSubject(id), 'placement', fold('placement', null, placed));
  recorded(2, containerSubject(one, id), 'container', fold('container', null, rejected));
  assert.equal(view.nameOf(id), 'kept');
  recorded(3, placementSubject(id), 'placement', fold('placement', null, [...placed, { type: 'PlacementRefused', code: 'no-suitable-host', message: 'no', verdicts: [], atMs: 5 }]));
  assert.equal(view.nameOf(id), null);
});

test('an exec that was never started is forgotten in its time, one that runs is not', () => {
  const view = new View();
  const exec = (seq: number, status: string) => view.apply({ seq, subject: 'evt.exec.one.x', storedAtMs: 1, message: { v: 1, id: String(seq), kind: 'exec', events: [], snapshot: { status }, meta } as unknown as Message });
  exec(1, 'created');
  assert.equal(view.forgettable(2, 10).length, 1);
  exec(2, 'running');
  assert.deepEqual(view.forgettable(2, 0), []);
});

test('a standby takes over, and what was left in between is taken up', async () => {
  schedulerOn(nats.url, 'second');
  await schedulers[0]?.stop();
  const id = await ask();
  assert.equal((await until('assigned by the second', () => containerOf(id))).status, 'assigned');
  assert.equal(schedulers[1]?.leads, true);
});

test('a placement whose leader died before the assignment gets its container from the next', async () => {
  await schedulers[1]?.stop();
  const id = await ask();
  await execute({
    log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta,
    decide: (state) => decidePlacement(state, { type: 'PlaceContainer', hostId: one, epoch: 1, verdicts: [] }, Date.now()),
  });
  schedulerOn(nats.url, 'third');
  assert.equal((await until('assigned by the third', () => containerOf(id))).status, 'assigned');
});

test('the server killed in between loses no request', async () => {
  const asked = await Promise.all(Array.from({ length: 20 }, () => ask()));
  await nats.kill9();
  await nats.restart();
  for (const id of asked) assert.equal((await until('assigned', async () => await containerOf(id).catch(() => null))).status, 'assigned');
});
