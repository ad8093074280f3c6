// Lost, drained and removed hosts on a real log, with two schedulers that both do the work: one successor each, under the name, on a host that
// can take it. And hosts that are asked for more than they have by schedulers that do not know of each other.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { containerSubject, containersOfHost, hostSubject, placementSubject, toMessage, type Message, type NameClaim, type Recorded } from '@pouch/contracts';
import {
  containerId, decideContainer, decideHost, decidePlacement, hostId, readPlacementRules, reservationOf, type Container, type ContainerCommand, type ContainerId, type ContainerSpec, type Host, type HostCommand, type HostId, type Placement,
} from '@pouch/domain';
import { connectNats, execute, openClaims, openEventLog, type Claims, type NatsLink, type PouchLog, type Subscription, type Term } from '@pouch/eventlog';
import { createLogger, systemClock } from '@pouch/process';
import { Admission } from '../../../services/agent/src/containers/admission.ts';
import { Patience } from '../../../services/scheduler/src/patience.ts';
import { Placer } from '../../../services/scheduler/src/placer.ts';
import { Replacer, successorIdOf } from '../../../services/scheduler/src/replacer.ts';
import { View } from '../../../services/scheduler/src/view.ts';
import { VolumeKeeper } from '../../../services/scheduler/src/volumes/volume-keeper.ts';
import { aHostsFacts, aRun, aSpec, anExit } from '../../fixtures/domain.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const meta = { atMs: 1, service: 'api', actor: 'test', cause: null } as const;
const gib = 2 ** 30;
let nats: NatsFixture;
let link: NatsLink;
let log: PouchLog;
let claims: Claims<NameClaim>;
const closers: (() => Promise<void>)[] = [];

before(async () => {
  nats = await startNats();
  link = connectNats({ servers: nats.url, name: 'test', logger });
  log = openEventLog<Message>({ link, logger, check: toMessage });
  await log.ready(20_000);
  claims = openClaims<NameClaim>({ link, logger });
  // Without the lease: both lead, as one that was paused and its successor do for a moment.
  leader();
  leader();
});
after(async () => {
  for (const close of closers.reverse()) await close();
  await log.close();
  await link.close();
  await nats.stop();
});

/** `hears`: which messages its view takes in. */
function leader(hears: (message: Recorded) => boolean = () => true): void {
  const view = new View();
  const patience = new Patience(systemClock);
  const deps = { view, claims, strategy: 'spread', patience, isWanted: () => true, again: () => undefined, hasReplicasOn: () => false, log, clock: systemClock, logger } as const;
  const placer = new Placer({ ...deps, volumes: new VolumeKeeper({ volumes: view.volumes, log, clock: systemClock, logger }) });
  const replacer = new Replacer(deps);
  const ended = new AbortController();
  const term: Term = { epoch: 1, signal: ended.signal };
  const work = (): void => {
    placer.work(term);
    replacer.work(term);
  };
  const subscription: Subscription = log.follow({
    filter: 'evt.>', from: 'last-per-subject', onFailed: (error) => { throw error; },
    onMessages: (messages) => {
      for (const message of messages as readonly Recorded[]) if (hears(message)) view.apply(message);
      if (subscription.caughtUp) work();
    },
  });
  const timer = setInterval(work, 100);
  closers.push(async () => {
    ended.abort();
    clearInterval(timer);
    await subscription.stop();
  });
}

/** A host that makes and starts what its own admission lets in, and does what is asked, as an agent does; it runs nothing. `silent`: it is cut off. */
async function host(name: string, memoryBytes = 8 * gib): Promise<{ readonly id: HostId; silent: boolean; tell(command: HostCommand): Promise<void> }> {
  const id = hostId(name);
  const known = new Map<string, Container>();
  const admission = new Admission({ cpuNanos: 64e9, memoryBytes }, { ids: () => [...known.keys()], local: (one) => known.get(one) ?? null });
  const made = { id, silent: false, async tell(command: HostCommand) {
    await execute({ log, kind: 'host', subject: hostSubject(id), commandId: randomUUID(), meta, decide: (state) => decideHost(state, command, Date.now()) });
  } };
  await made.tell({ type: 'AnnounceHost', id, facts: aHostsFacts({ hostname: name, capacity: { cpuNanos: 64e9, memoryBytes } }) });
  const next = (container: Container): ContainerCommand | null => {
    if (container.status === 'assigned') {
      const misfit = admission.admit(container);
      return misfit === null ? { type: 'ReportCreated' } : { type: 'ReportRejected', code: 'no-fit', message: misfit };
    }
    const first = container.requests[0];
    if (first?.action.kind === 'start') return { type: 'ReportStarted', byPolicy: false, run: aRun(first.commandId) };
    if (first?.action.kind === 'stop' && container.status === 'running') return { type: 'ReportExit', exit: anExit(container.run.startId), hostShutdown: false };
    return first?.action.kind === 'remove' ? { type: 'ReportRemoved' } : null;
  };
  let chain = Promise.resolve();
  const carryOut = (): void => {
    chain = chain.then(async () => {
      if (made.silent) return;
      for (const container of known.values()) {
        const command = container.status === 'removed' ? null : next(container);
        if (command === null) continue;
        await execute({ log, kind: 'container', subject: containerSubject(id, container.id), commandId: randomUUID(), meta, decide: (state) => decideContainer(state, command, Date.now()) });
      }
    }).catch(() => undefined); // the server is going, or it is tried again
  };
  const subscription = log.follow({
    filter: containersOfHost(id), from: 'last-per-subject', onFailed: (error) => { throw error; },
    onMessages: (messages) => {
      for (const { message } of messages as readonly Recorded<'container'>[]) known.set(message.snapshot.id, message.snapshot);
      carryOut();
    },
  });
  const timer = setInterval(carryOut, 100);
  closers.push(async () => {
    clearInterval(timer);
    await subscription.stop();
    await chain;
  });
  return made;
}

async function ask(labels: Record<string, string>, { name = `c-${randomBytes(4).toString('hex')}`, start = false, env = [] as string[] } = {}): Promise<{ id: ContainerId; name: string }> {
  const id = containerId(randomBytes(32).toString('hex'));
  const read = readPlacementRules(env, labels);
  if (!read.ok) throw new Error(read.problem);
  const spec: ContainerSpec = aSpec({ labels, placement: read.value.rules });
  await claims.claim(name, { containerId: id, claimedAtMs: Date.now() });
  await execute({
    log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta, cached: { seq: 0, snapshot: null },
    decide: (state) => decidePlacement(state, { type: 'RequestPlacement', id, name, spec, start }, Date.now()),
  });
  return { id, name };
}

async function until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    await delay(50);
  }
  throw new assert.AssertionError({ message: `never came true: ${what}` });
}

const placementOf = async (id: ContainerId) => (await log.last(placementSubject(id)))?.message.snapshot as Placement | undefined;
const on = async (where: HostId, id: ContainerId) => (await log.last(containerSubject(where, id)))?.message.snapshot as Container | undefined;
const running = async (where: HostId, id: ContainerId) => await until(`${id.slice(0, 8)} runs on ${where}`, async () => { const now = await on(where, id); return now?.status === 'running' ? now : null; });
const movable = { 'io.pouch.reschedule': 'on-host-loss' };

test('a lost host: what may be moved gets one successor under its name, the rest stays; a host that is back removes what was replaced', async () => {
  const lost = await host('lost-1');
  const moved = await ask(movable, { start: true });
  const stays = await ask({}, { start: true });
  await running(lost.id, moved.id);
  await running(lost.id, stays.id);
  lost.silent = true;
  await lost.tell({ type: 'ReportHostLost', lastBeatAtMs: 1 });
  // No host can take it: it keeps its name and waits.
  await delay(300);
  assert.equal((await on(lost.id, moved.id))?.replaced, undefined);
  const other = await host('other-1');
  const successorId = successorIdOf(moved.id);
  const successor = await running(other.id, successorId);
  assert.deepEqual([successor.name, successor.predecessor], [moved.name, moved.id]);
  assert.equal((await claims.get(moved.name))?.value?.containerId, successorId);
  const before = await on(lost.id, moved.id);
  assert.equal(before?.replaced?.successorId, successorId);
  assert.equal((await on(lost.id, stays.id))?.status, 'running');
  lost.silent = false;
  await lost.tell({ type: 'ReportHostReturned' });
  await until('the replaced one is gone', async () => (await on(lost.id, moved.id))?.status === 'removed');
  assert.equal((await on(lost.id, stays.id))?.status, 'running');
  assert.equal((await running(other.id, successorId)).name, moved.name);
  assert.equal((await claims.get(moved.name))?.value?.containerId, successorId);
  for (const one of [lost, other]) await one.tell({ type: 'CordonHost' });
});

test('a drained host: what may be moved is stopped first and goes on elsewhere, then the host is told drained with what is left', async () => {
  const drained = await host('drained-1');
  const moved = await Promise.all(Array.from({ length: 5 }, () => ask(movable, { start: true })));
  const stays = await ask({}, { start: true });
  for (const { id } of [...moved, stays]) await running(drained.id, id);
  const other = await host('other-2');
  await drained.tell({ type: 'DrainHost' });
  for (const { id, name } of moved) {
    const successor = await running(other.id, successorIdOf(id));
    assert.deepEqual([successor.name, (await on(drained.id, id))?.status === 'running'], [name, false]);
  }
  const told = await until('drained', async () => { const now = (await log.last(hostSubject(drained.id)))?.message; return now?.events.some(({ type }) => type === 'HostDrained') === true ? now : null; });
  assert.equal((told.events.find(({ type }) => type === 'HostDrained') as { left?: number }).left, 1);
  assert.equal((told.snapshot as Host).drain?.done, true);
  assert.equal((await on(drained.id, stays.id))?.status, 'running');
  await other.tell({ type: 'CordonHost' });
});

test('a drain ends where no other host can take what is left', async () => {
  const only = await host('drained-2');
  const { id } = await ask(movable, { start: true, env: ['constraint:node==drained-2'] });
  await running(only.id, id);
  await only.tell({ type: 'DrainHost' });
  await until('drained', async () => ((await log.last(hostSubject(only.id)))?.message.snapshot as Host).drain?.done);
  assert.equal((await on(only.id, id))?.status, 'running');
});

test('a host that is removed for good takes its containers with it', async () => {
  const gone = await host('gone-1');
  const { id } = await ask({}, { start: true, env: ['constraint:node==gone-1'] });
  await running(gone.id, id);
  gone.silent = true;
  await gone.tell({ type: 'ReportHostLost', lastBeatAtMs: 1 });
  await gone.tell({ type: 'RemoveHost', containers: 1, force: true });
  await until('given up', async () => (await on(gone.id, id))?.status === 'removed');
});

test('schedulers that do not know of each other put no more on hosts than fits: a host refuses, and the container goes elsewhere or is refused', async () => {
  const hosts = await Promise.all(['full-1', 'full-2', 'full-3'].map((name) => host(name, 8 * gib)));
  // 8 fit on each, 24 in all; both schedulers choose for all of them at once.
  const asked = await Promise.all(Array.from({ length: 40 }, () => ask({ 'io.pouch.reserve.memory': '1g' }, { env: ['constraint:node==full-*'] })));
  const settled = await Promise.all(asked.map(({ id }) => until(`${id.slice(0, 8)} settled`, async () => {
    const placement = await placementOf(id);
    if (placement?.status === 'refused') return placement;
    return placement?.status === 'placed' && (await on(placement.hostId, id))?.status === 'created' ? placement : null;
  })));
  const placed = settled.filter(({ status }) => status === 'placed');
  assert.equal(placed.length, 24);
  for (const { id } of hosts) {
    const here = await Promise.all(placed.map(async (placement) => await on(id, placement.id)));
    const reserved = here.reduce((sum, container) => sum + (container?.status === 'created' ? reservationOf(container.spec).memoryBytes : 0), 0);
    assert.equal(reserved, 8 * gib);
  }
  for (const placement of settled) if (placement.status === 'refused') assert.match(placement.message, /are to be reserved|chosen one after the other/);
});

test('a leader that was paused and still sees the hosts as they were puts nothing on them that does not fit', async () => {
  const late = await host('late-1', 8 * gib);
  const ends = new Set<string>();
  // From now on it hears of requests, and of nothing that came of them.
  let deaf = false;
  leader(({ message }) => !deaf || (message.kind === 'placement' && (message.snapshot as Placement).status === 'requested'));
  const first = await Promise.all(Array.from({ length: 6 }, () => ask({ 'io.pouch.reserve.memory': '1g' }, { env: ['constraint:node==late-1'] })));
  for (const { id } of first) await until('made', async () => (await on(late.id, id))?.status === 'created');
  deaf = true;
  const more = await Promise.all(Array.from({ length: 12 }, () => ask({ 'io.pouch.reserve.memory': '1g' }, { env: ['constraint:node==late-1'] })));
  for (const { id } of more) {
    ends.add(await until('settled', async () => {
      const placement = await placementOf(id);
      return placement?.status === 'refused' || (await on(late.id, id))?.status === 'created' ? (placement?.status ?? null) : null;
    }));
  }
  const here = await Promise.all([...first, ...more].map(async ({ id }) => await on(late.id, id)));
  assert.equal(here.reduce((sum, container) => sum + (container?.status === 'created' ? reservationOf(container.spec).memoryBytes : 0), 0), 8 * gib);
  assert.deepEqual([...ends].sort(), ['placed', 'refused']);
});
