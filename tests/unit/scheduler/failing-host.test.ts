// A host on which everything fails is the emptiest one: a service must not send it one replica after the other while another host could run them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerSubject, toMessage, type Message, type Recorded } from '@pouch/contracts';
import { containerId, decideService, fold, hostId, taskSpec, type HostId, type Observation, type Rollout, type Service, type ServiceCommand } from '@pouch/domain';
import { View } from '../../../services/scheduler/src/view.ts';
import { aHostsFacts, aSpec } from '../../fixtures/domain.ts';

const [good, bad] = [hostId('a-good'), hostId('bad')];
const rollout: Rollout = { parallelism: 1, delayMs: 0, order: 'stop-first', monitorMs: 5_000, onFailure: 'pause', maxFailureRatio: 0 };

/** One service on two hosts, as the scheduler sees them. */
class Cluster {
  readonly view = new View();
  readonly seen = new Map<string, Observation>();
  /** Replicas that ran on each host, or tried to. */
  readonly sent = new Map<HostId, number>();
  state: Service | null = null;
  nowMs = 1_000_000;
  #seq = 0;
  #made = 0;

  constructor() {
    for (const id of [good, bad]) this.#tell(`evt.host.${id}`, 'host', { id, facts: aHostsFacts({ hostname: id }), joinedAtMs: 0, state: 'up', stateSinceMs: 0, cordoned: false });
  }

  #tell(subject: string, kind: Message['kind'], snapshot: unknown): void {
    const message = { v: 1, id: String(++this.#seq), kind, events: [{ type: 'FromATest' }], snapshot, meta: { atMs: this.nowMs, service: 'scheduler', actor: 'scheduler', cause: null } };
    this.view.apply({ subject, seq: this.#seq, storedAtMs: this.nowMs, message: toMessage(message) } as Recorded);
  }

  when(command: ServiceCommand): void {
    const decision = decideService(this.state, command, this.nowMs);
    assert.ok(decision.ok, decision.ok ? '' : decision.refusal.message);
    this.state = fold('service', this.state, decision.events);
    assert.ok(this.state !== null);
    if (decision.events.length > 0) this.#tell('evt.service.web', 'service', this.state);
    for (const event of decision.events) {
      for (const task of event.type === 'ServiceTasksStarted' ? event.tasks : []) {
        const spec = taskSpec(this.state, task);
        assert.ok(spec !== null);
        const plan = this.view.choose(spec, { rejections: [], strategy: 'spread', seed: task.containerId });
        assert.ok(plan.outcome === 'place');
        this.sent.set(plan.hostId, (this.sent.get(plan.hostId) ?? 0) + 1);
        const container = { id: task.containerId, hostId: plan.hostId, name: `web.${task.slot}`, spec, requests: [], failures: [] };
        this.view.promise(container, plan.hostId);
        if (plan.hostId === good) this.seen.set(task.containerId, { state: 'running', forMs: 60_000, health: null, draining: false });
        else {
          this.seen.set(task.containerId, { state: 'ended', hostId: bad, exitCode: 127, ranMs: 0, message: 'nothing starts here' });
          this.#tell(containerSubject(plan.hostId, task.containerId), 'container', { ...container, status: 'removed', removedAtMs: this.nowMs, reason: { kind: 'removed' }, lastExit: null });
        }
      }
    }
  }

  /** Looks every ten seconds. */
  pass(seconds: number): void {
    for (const untilMs = this.nowMs + seconds * 1_000; this.nowMs < untilMs; this.nowMs += 10_000) {
      this.when({ type: 'AdvanceService', uid: 'u1', surroundings: { observe: (id) => this.seen.get(id) ?? { state: 'pending' }, idOf: () => containerId((++this.#made).toString(16).padStart(64, '0')) } });
    }
  }

  get running(): number {
    return this.state?.tasks.filter(({ containerId: id }) => this.seen.get(id)?.state === 'running').length ?? 0;
  }
}

const spec = { templates: [aSpec()], replicas: 4, update: rollout, rollback: rollout, restart: { condition: 'any', delayMs: 1_000, maxAttempts: 0 } as const, labels: {}, asked: '{}' };

test('replicas that fail on one host come to run on another', () => {
  const cluster = new Cluster();
  cluster.when({ type: 'CreateService', name: 'web', uid: 'u1', spec });
  cluster.pass(600);
  assert.equal(cluster.running, 4);
  assert.ok((cluster.sent.get(bad) ?? 0) > 0, 'it was tried');
  assert.ok((cluster.sent.get(bad) ?? 0) <= 6, `it was sent ${cluster.sent.get(bad)}`);
});

test('after five minutes what failed counts no more', () => {
  const cluster = new Cluster();
  cluster.when({ type: 'CreateService', name: 'web', uid: 'u1', spec });
  cluster.pass(600);
  const before = cluster.sent.get(bad) ?? 0;
  cluster.when({ type: 'UpdateService', uid: 'u1', version: null, spec: { ...spec, replicas: 5 }, force: false });
  cluster.pass(10);
  assert.equal(cluster.sent.get(bad), before + 1);
});
