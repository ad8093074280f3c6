// Choosing a host: each filter explains itself, the choice is repeatable, rejections are honoured and bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideHost, decidePlacement, evolveHost, evolvePlacement, hostId, maxPlacementAttempts, schedule, type Candidate, type Host, type Placement, type PlacementCommand, type PlacementEvent,
} from '@pouch/domain';
import { aContainerId, aHostsFacts, aSpec } from '../../fixtures/domain.ts';

function aHost(id: string, different: Partial<Host> = {}): Host {
  return { id: hostId(id), facts: aHostsFacts(), joinedAtMs: 0, state: 'up', stateSinceMs: 0, cordoned: false, ...different };
}
function candidate(host: Host, different: Partial<Candidate['reserved']> = {}): Candidate {
  return { host, reserved: { cpuNanos: 0, memoryBytes: 0, containers: 0, ports: new Set(), ...different } };
}

test('with no host the refusal says that none has joined', () => {
  const plan = schedule(aSpec(), [], []);
  assert.equal(plan.outcome, 'refuse');
  assert.match(plan.outcome === 'refuse' ? plan.message : '', /no host has joined/);
});

test('the emptier host is chosen, and the choice does not depend on the order of hosts', () => {
  const hosts = [candidate(aHost('b'), { containers: 3 }), candidate(aHost('a'), { containers: 1 }), candidate(aHost('c'), { containers: 1 })];
  for (const order of [hosts, hosts.toReversed()]) {
    const plan = schedule(aSpec(), order, []);
    assert.deepEqual(plan.outcome === 'place' && plan.hostId, 'a');
  }
});

test('each filter says why', () => {
  const cases: [string, Partial<Host>, Parameters<typeof aSpec>[0], RegExp][] = [
    ['health', { state: 'lost' }, {}, /lost/],
    ['cordon', { cordoned: true }, {}, /cordoned/],
    ['runtime', {}, { runtime: 'kata' }, /no runtime "kata"; it has runc/],
    ['capacity', {}, { resources: { ...aSpec().resources, memoryBytes: 2 ** 50 } }, /bytes of memory/],
    ['ports', {}, { ports: [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8080 }] }, /8080\/tcp is taken/],
  ];
  for (const [filter, host, spec, why] of cases) {
    const plan = schedule(aSpec(spec), [candidate(aHost('a', host), { ports: new Set(['8080/tcp']) })], []);
    assert.equal(plan.outcome, 'refuse');
    assert.equal(plan.verdicts[0]?.filter, filter);
    assert.match(plan.verdicts[0]?.reason ?? '', why);
  }
});

test('a host that rejected is passed over, and tries are bounded', () => {
  const verdict = { hostId: hostId('a'), filter: 'host', reason: 'full', score: null };
  const plan = schedule(aSpec(), [candidate(aHost('a')), candidate(aHost('b'))], [verdict]);
  assert.equal(plan.outcome === 'place' && plan.hostId, 'b');
  const many = Array.from({ length: maxPlacementAttempts }, () => verdict);
  assert.equal(schedule(aSpec(), [candidate(aHost('b'))], many).outcome, 'refuse');
});

test('a placement is decided once; a rejection opens it again', () => {
  const run = (commands: PlacementCommand[]) => {
    let state: Placement | null = null;
    const seen: string[] = [];
    for (const command of commands) {
      const decision = decidePlacement(state, command, 1);
      seen.push(...(decision.ok ? decision.events.map((event) => event.type) : [decision.refusal.code]));
      if (decision.ok) state = decision.events.reduce<Placement | null>((folded, event: PlacementEvent) => evolvePlacement(folded, event), state);
    }
    return { state, seen };
  };
  const request: PlacementCommand = { type: 'RequestPlacement', id: aContainerId, name: 'web', spec: aSpec() };
  const place = (host: string): PlacementCommand => ({ type: 'PlaceContainer', hostId: hostId(host), epoch: 1, verdicts: [] });
  const reject: PlacementCommand = { type: 'ReportRejection', hostId: hostId('a'), code: 'conflict', message: 'port 80 is taken' };
  const { state, seen } = run([request, request, place('a'), place('b'), reject, reject, place('b')]);
  assert.deepEqual(seen, ['PlacementRequested', 'already-exists', 'ContainerPlaced', 'stale', 'PlacementRejected', 'ContainerPlaced']);
  assert.equal(state?.status === 'placed' && state.hostId, 'b');
  assert.equal(state?.rejections.length, 1);
});

test('a host that announces itself unchanged is no news; lost hosts return', () => {
  const announce = { type: 'AnnounceHost', id: hostId('a'), facts: aHostsFacts() } as const;
  const joined = decideHost(null, announce, 1);
  assert.ok(joined.ok);
  const host = joined.events.reduce<Host | null>(evolveHost, null);
  assert.deepEqual(decideHost(host, announce, 2), { ok: true, events: [] });
  const lost = decideHost(host, { type: 'ReportHostLost', lastBeatAtMs: 1 }, 3);
  assert.ok(lost.ok);
  const after = lost.events.reduce<Host | null>(evolveHost, host);
  assert.equal(after?.state, 'lost');
  const back = decideHost(after, announce, 4);
  assert.deepEqual(back.ok && back.events.map((event) => event.type), ['HostReturned']);
});

test('a virtual machine goes to a host that has its kernel or can fetch it, and each host says what keeps it from it', () => {
  const runtimes = [{ name: 'runv', path: '/x/runv' }];
  const booted = (ok: boolean) => [{ profile: 'modern', ok, bootMs: ok ? 900 : null, lacks: ok ? [] : ['no answer in 30 s'] }];
  const host = (id: string, kernels: [string, boolean][], defaultKernel: string | null) => candidate(aHost(id, {
    facts: aHostsFacts({ runtimes, machines: { acceleration: 'tcg', defaultKernel, kernels: kernels.map(([name, ok]) => ({ name, digest: 'sha256:x', release: null, profiles: booted(ok) })) } }),
  }));
  const wants = (kernel: string | null) => aSpec({ runtime: 'runv', annotations: kernel === null ? {} : { 'io.pouch.kernel': kernel } });
  const plan = (kernel: string | null, hosts: Candidate[], catalogued: Parameters<typeof schedule>[3] = () => null) => schedule(wants(kernel), hosts, [], catalogued);

  const hosts = [host('a', [], null), host('b', [['debian', true], ['broken', false]], 'debian')];
  const byDefault = plan(null, hosts);
  assert.equal(byDefault.outcome === 'place' && byDefault.hostId, 'b');
  assert.match(byDefault.verdicts.find(({ hostId: id }) => id === 'a')?.reason ?? '', /no guest kernel of its own yet/);
  const broken = plan('broken', hosts);
  assert.match(broken.verdicts.find(({ hostId: id }) => id === 'b')?.reason ?? '', /does not boot there: modern: no answer in 30 s/);
  assert.match(plan('old', hosts).verdicts.find(({ hostId: id }) => id === 'b')?.reason ?? '', /no guest kernel "old"; it has debian, broken/);
  // In the catalogue: any host can have it, but for one that has tried it in vain.
  const fetched = plan('old', hosts, (name) => (name === 'old' ? { profilesOn: (id) => (id === 'a' ? booted(false) : []) } : null));
  assert.equal(fetched.outcome === 'place' && fetched.hostId, 'b');
  assert.equal(fetched.verdicts.find(({ hostId: id }) => id === 'a')?.filter, 'kernel');
  // Containers that share their host's kernel are not asked.
  assert.equal(schedule(aSpec({ runtime: 'runc' }), [candidate(aHost('a'))], []).outcome, 'place');
});
