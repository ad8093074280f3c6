// What the chooser keeps changes nothing of what is chosen: through any history of hosts and containers it answers as a look at all hosts does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Chooser, hostId, readPlacementRules, schedule, type Candidate, type ContainerSpec, type Host, type HostId, type PortBinding, type Strategy } from '@pouch/domain';
import { Books, type Hold } from '../../../services/scheduler/src/books.ts';
import { aHostsFacts, aSpec } from '../../fixtures/domain.ts';

const ids = ['a', 'b', 'c', 'd', 'e', 'f'].map(hostId);
const port = (hostPort: number): PortBinding => ({ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort });

function ruled(env: readonly string[], labels: Record<string, string>, more: Partial<ContainerSpec> = {}): ContainerSpec {
  const read = readPlacementRules(env, labels);
  assert.ok(read.ok);
  return aSpec({ placement: read.value.rules, labels, ...more });
}

/** One of each kind of shape. */
const specs: readonly ContainerSpec[] = [
  aSpec(),
  ruled(['constraint:disk==ssd'], {}),
  ruled(['constraint:disk==~ssd', 'affinity:container==~web*'], {}),
  ruled(['affinity:kind!=db'], { kind: 'db' }),
  ruled([], { 'io.pouch.spread': 'zone,rack', 'io.pouch.group': 'web' }),
  ruled([], { 'io.pouch.spread': 'rack', 'io.pouch.reserve.memory': '3g' }),
  ruled([], { 'io.pouch.strategy': 'binpack', 'io.pouch.reserve.cpus': '0.5' }),
  ruled([], { 'io.pouch.strategy': 'random' }),
  aSpec({ ports: [port(80)] }),
  aSpec({ ports: [port(443)], runtime: 'other' }),
];

type Step =
  | { readonly kind: 'host'; readonly at: number; readonly state: Host['state']; readonly cordoned: boolean; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'choose'; readonly spec: number; readonly hold: Hold }
  | { readonly kind: 'release'; readonly at: number }
  | { readonly kind: 'image'; readonly at: number; readonly there: boolean };

const aHostStep = fc.record({
  kind: fc.constant('host' as const), at: fc.nat(ids.length - 1), state: fc.constantFrom('up' as const, 'up' as const, 'up' as const, 'lost' as const, 'removed' as const), cordoned: fc.boolean(),
  labels: fc.record({ disk: fc.constantFrom('ssd', 'hdd'), zone: fc.constantFrom('z1', 'z2'), rack: fc.constantFrom('r1', 'r2', 'r3') }),
});
const aStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: aHostStep },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('choose' as const), spec: fc.nat(specs.length - 1), hold: fc.constantFrom<Hold>('firm', 'loose', 'none') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), at: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('image' as const), at: fc.nat(ids.length - 1), there: fc.boolean() }) },
);

function live(steps: readonly Step[], strategy: Strategy): void {
  const hosts = new Map<HostId, Host>();
  const books = new Books((id) => { chooser.changed(id); });
  const candidate = (id: HostId): Candidate | null => {
    const host = hosts.get(id);
    return host === undefined || host.state === 'removed' ? null : { host, ...books.of(id) };
  };
  const chooser = new Chooser({ hosts, candidate, catalogued: () => null });
  let made = 0;
  for (const step of steps) {
    switch (step.kind) {
      case 'host': {
        const id = ids[step.at] ?? hostId('a');
        const facts = aHostsFacts({ labels: step.labels, runtimes: step.at % 2 === 0 ? [{ name: 'runc', path: '/r' }, { name: 'other', path: '/o' }] : [{ name: 'runc', path: '/r' }] });
        hosts.set(id, { id, facts, joinedAtMs: 0, state: step.state, stateSinceMs: 0, cordoned: step.cordoned });
        chooser.changed(id);
        break;
      }
      case 'choose': {
        const spec = specs[step.spec] ?? aSpec();
        const id = `c${made++}`;
        const plan = chooser.choose(spec, { strategy, seed: id });
        const all = schedule(spec, [...hosts.keys()].flatMap((each) => candidate(each) ?? []), { strategy, seed: id });
        assert.deepEqual([plan.outcome, plan.outcome === 'place' && plan.hostId], [all.outcome, all.outcome === 'place' && all.hostId], id);
        if (plan.outcome === 'refuse' || all.outcome === 'refuse') assert.deepEqual(plan, all);
        else {
          // Here all hosts are told.
          const byHost = (verdicts: typeof plan.verdicts): unknown => verdicts.toSorted((one, other) => (one.hostId < other.hostId ? -1 : 1));
          assert.deepEqual(plan.verdicts[0], all.verdicts[0]);
          assert.deepEqual(byHost(plan.verdicts), byHost(all.verdicts));
          books.promise({ id, name: step.spec % 2 === 0 ? `web${id}` : id, spec }, plan.hostId, step.hold);
        }
        break;
      }
      case 'release':
        books.release(`c${step.at}`);
        break;
      case 'image':
        books.holdImage(ids[step.at] ?? hostId('a'), 'k', step.there ? { id: 'sha256:00', name: 'docker.io/library/x:1' } : null);
        break;
    }
  }
}

for (const strategy of ['spread', 'binpack'] as const) {
  test(`the chooser chooses as a look at all hosts does: ${strategy}`, () => {
    fc.assert(fc.property(fc.tuple(fc.array(aHostStep, { minLength: 1, maxLength: 8 }), fc.array(aStep, { maxLength: 120 })), ([first, rest]) => { live([...first, ...rest], strategy); }), { numRuns: 150 });
  });
}

test('a shelf that was not asked for through many changes still chooses as a look at all hosts does', () => {
  const joined: Step[] = ids.map((_id, at) => ({ kind: 'host', at, state: 'up', cordoned: false, labels: { disk: 'ssd', zone: 'z1', rack: `r${at % 3}` } }));
  const many: Step[] = Array.from({ length: 9_000 }, (_, n) => (n % 3 === 2 ? { kind: 'release', at: n - 2 } : { kind: 'choose', spec: 0, hold: 'none' }));
  live([...joined, { kind: 'choose', spec: 4, hold: 'firm' }, ...many, { kind: 'choose', spec: 4, hold: 'firm' }], 'spread');
});
