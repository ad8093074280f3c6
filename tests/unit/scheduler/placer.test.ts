// What the scheduler takes up while the log that it follows comes late: each container is decided on once.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { containerSubject, hostSubject, placementSubject, toMessage, type Message, type Recorded } from '@pouch/contracts';
import { containerId, decideHost, decidePlacement, hostId, type ContainerId } from '@pouch/domain';
import { execute, MemoryEventLog, type PouchLog, type Term } from '@pouch/eventlog';
import { createLogger, systemClock } from '@pouch/process';
import { Patience } from '../../../services/scheduler/src/patience.ts';
import { Placer } from '../../../services/scheduler/src/placer.ts';
import { View } from '../../../services/scheduler/src/view.ts';
import { VolumeKeeper } from '../../../services/scheduler/src/volumes/volume-keeper.ts';
import { aHostsFacts, aSpec } from '../../fixtures/domain.ts';

const meta = { atMs: 1, service: 'api', actor: 'test', cause: null } as const;
const term: Term = { epoch: 1, signal: new AbortController().signal };
const logger = createLogger({ service: 'test', level: 'silent' });

/** A scheduler whose view takes in the log only when it is told to, and counts what it appends. */
class Late {
  readonly log: PouchLog = new MemoryEventLog<Message>({ check: toMessage });
  readonly view = new View();
  readonly appends: string[] = [];
  readonly placer: Placer;

  constructor() {
    const counting = new Proxy(this.log, {
      get: (log, name) => (name === 'append' ? async (request: Parameters<PouchLog['append']>[0]) => { this.appends.push(request.subject); return await log.append(request); } : (log[name as keyof PouchLog] as (...values: unknown[]) => unknown).bind(log)),
    });
    const deps = { log: counting, clock: systemClock, logger };
    this.placer = new Placer({ ...deps, view: this.view, volumes: new VolumeKeeper({ ...deps, volumes: this.view.volumes }), strategy: 'spread', patience: new Patience(systemClock), isWanted: () => true, again: () => undefined });
  }

  async see(untilSeq = Number.POSITIVE_INFINITY): Promise<void> {
    for await (const entries of this.log.read({ fromSeq: this.view.seq + 1 })) for (const entry of entries) if (entry.seq <= untilSeq) this.view.apply(this.log.decode(entry) as Recorded);
  }

  async join(): Promise<void> {
    const id = hostId('host-1');
    await execute({ log: this.log, kind: 'host', subject: hostSubject(id), commandId: randomUUID(), meta, decide: (state) => decideHost(state, { type: 'AnnounceHost', id, facts: aHostsFacts() }, 1) });
  }

  async ask(id: ContainerId): Promise<void> {
    await execute({ log: this.log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta, decide: (state) => decidePlacement(state, { type: 'RequestPlacement', id, name: 'x', spec: aSpec() }, 1) });
  }

  async work(): Promise<void> {
    this.placer.work(term);
    for (let n = 0; n < 10; n++) await turn();
  }
}

test('what was placed and assigned is not taken up again before the view has seen it, and not after', async () => {
  const cluster = new Late();
  const id = containerId('ab'.repeat(32));
  await cluster.join();
  await cluster.ask(id);
  await cluster.see();
  const requestedSeq = cluster.view.seq;
  await cluster.work();
  const once = [placementSubject(id), containerSubject(hostId('host-1'), id)];
  assert.deepEqual(cluster.appends, once);
  await cluster.work(); // it shows the request still
  await cluster.see(requestedSeq + 1);
  await cluster.work(); // it shows the placement, and no container
  await cluster.see();
  await cluster.work();
  assert.deepEqual(cluster.appends, once);
});

test('a host\'s no is taken up as soon as the view has seen it', async () => {
  const cluster = new Late();
  const id = containerId('cd'.repeat(32));
  await cluster.join();
  await cluster.ask(id);
  await cluster.see();
  await cluster.work();
  await cluster.see();
  const placed = cluster.appends.length;
  await execute({ log: cluster.log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta, decide: (state) => decidePlacement(state, { type: 'ReportRejection', hostId: hostId('host-1'), code: 'no-room', message: 'full' }, 2) });
  await cluster.see();
  await cluster.work();
  assert.deepEqual(cluster.appends.slice(placed), [placementSubject(id)], 'refused: there is no other host');
});
