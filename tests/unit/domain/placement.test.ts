// Choosing a host: each filter explains itself, the choice is repeatable, rejections are honoured and bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideHost, decidePlacement, evolveHost, evolvePlacement, groupOf, hostId, labelsOfHost, maxPlacementAttempts, maxVerdicts, readPlacementRules, schedule,
  type Candidate, type CataloguedKernel, type ContainerSpec, type HeldImage, type Host, type Occupant, type Placement, type PlacementCommand, type PlacementEvent, type PortHold,
} from '@pouch/domain';
import { aContainerId, aHostsFacts, aSpec } from '../../fixtures/domain.ts';

function aHost(id: string, different: Partial<Host> = {}): Host {
  return { id: hostId(id), facts: aHostsFacts(), joinedAtMs: 0, state: 'up', stateSinceMs: 0, cordoned: false, ...different };
}
function candidate(host: Host, different: Partial<Candidate['reserved']> = {}, { containers = [], images = [] }: { containers?: readonly Occupant[]; images?: readonly HeldImage[] } = {}): Candidate {
  const reserved = { cpuNanos: 0, memoryBytes: 0, pids: 0, containers: containers.length, ports: new Map(), groups: new Map(), ...different };
  return { host, reserved, contents: { containers: () => containers, images: () => images } };
}

/** What a container says in its environment and labels, as a part of its spec. */
function ruled(env: readonly string[], labels: Record<string, string> = {}): Partial<ContainerSpec> {
  const read = readPlacementRules(env, labels);
  if (!read.ok) throw new Error(read.problem);
  return { placement: read.value.rules, labels };
}
const chosen = (spec: Partial<ContainerSpec>, hosts: readonly Candidate[], options: Parameters<typeof schedule>[2] = {}): string => {
  const plan = schedule(aSpec(spec), hosts, options);
  return plan.outcome === 'place' ? plan.hostId : `refused: ${plan.message}`;
};
const reserving = (memory: string): Partial<ContainerSpec> => ruled([], { 'io.pouch.reserve.memory': memory });

test('with no host the refusal says that none has joined', () => {
  const plan = schedule(aSpec(), []);
  assert.equal(plan.outcome, 'refuse');
  assert.match(plan.outcome === 'refuse' ? plan.message : '', /no host has joined/);
});

test('the emptier host is chosen, and the choice does not depend on the order of hosts', () => {
  const hosts = [candidate(aHost('b'), { containers: 3 }), candidate(aHost('a'), { containers: 1 }), candidate(aHost('c'), { containers: 1 })];
  for (const order of [hosts, hosts.toReversed()]) {
    const plan = schedule(aSpec(), order);
    assert.deepEqual(plan.outcome === 'place' && plan.hostId, 'a');
  }
});

test('a named volume keeps its containers on its host; one that has no host yet, or no name, keeps them nowhere', () => {
  const volume = (name: string | null): Partial<ContainerSpec> => ({ mounts: [{ type: 'volume', declaredAs: 'binds', name, target: '/data', readonly: false, noCopy: false, labels: {} }] });
  const hosts = [candidate(aHost('a')), candidate(aHost('b'))];
  const volumes = (name: string) => (name === 'data' ? hostId('b') : name === 'far' ? hostId('gone') : null);
  assert.equal(chosen(volume('data'), hosts, { volumes }), 'b');
  assert.equal(chosen(volume('new'), hosts, { volumes }), 'a');
  assert.equal(chosen(volume(null), hosts, { volumes }), 'a');
  assert.match(chosen(volume('far'), hosts, { volumes }), /a: volumes: volume far is on host gone, and its data cannot be had elsewhere; b: volumes: volume far is on host gone/);
});

test('each filter says why', () => {
  const cases: [string, Partial<Host>, Parameters<typeof aSpec>[0], RegExp][] = [
    ['health', { state: 'lost' }, {}, /lost/],
    ['cordon', { cordoned: true }, {}, /cordoned/],
    ['runtime', {}, { runtime: 'kata' }, /no runtime "kata"; it has runc/],
    ['capacity', {}, { resources: { ...aSpec().resources, memoryBytes: 2 ** 50 } }, /its memory is 8 GiB, the container's limit is 1024 TiB/],
    ['platform', {}, { platform: { os: 'linux', architecture: 'arm64' } }, /the image is for linux\/arm64, the host is linux\/amd64/],
    ['constraint', {}, ruled(['constraint:disk==ssd']), /disk==ssd is asked for, and it has no label "disk": pouch cluster hosts label a/],
    ['constraint', { labels: { disk: 'hdd' } }, ruled(['constraint:disk==ssd']), /its disk is "hdd"/],
    ['network', {}, { network: { mode: 'container', containerId: aContainerId } }, /the network of container [0-9a-f]{12} is to be joined, and that container is not on this host/],
    ['volumes', {}, { volumesFrom: [{ containerId: aContainerId, asked: 'x' }] }, /the mounts of container [0-9a-f]{12} are asked for, and that container is not on this host/],
    ['affinity', {}, ruled(['affinity:container==web']), /no such container/],
    ['acceleration', { facts: aHostsFacts({ runtimes: [{ name: 'runv', path: '/x' }], machines: { acceleration: 'tcg', kernels: [], defaultKernel: null } }) }, { ...ruled([], { 'io.pouch.acceleration': 'kvm' }), runtime: 'runv' }, /with tcg, and kvm is asked for/],
    ['ports', {}, { ports: [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8080 }] }, /8080\/tcp is taken/],
  ];
  for (const [filter, host, spec, why] of cases) {
    const plan = schedule(aSpec(spec), [candidate(aHost('a', host), { ports: new Map([['8080/tcp', [{ hostIp: '', firm: true }]]]) })]);
    assert.equal(plan.outcome, 'refuse');
    assert.equal(plan.verdicts[0]?.filter, filter);
    assert.match(plan.verdicts[0]?.reason ?? '', why);
  }
});

test('a host that rejected is passed over, and tries are bounded', () => {
  const verdict = { hostId: hostId('a'), filter: 'host', reason: 'full', score: null };
  const plan = schedule(aSpec(), [candidate(aHost('a')), candidate(aHost('b'))], { rejections: [verdict] });
  assert.equal(plan.outcome === 'place' && plan.hostId, 'b');
  const many = Array.from({ length: maxPlacementAttempts }, () => verdict);
  assert.equal(schedule(aSpec(), [candidate(aHost('b'))], { rejections: many }).outcome, 'refuse');
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
  const plan = (kernel: string | null, hosts: Candidate[], catalogued: CataloguedKernel = () => null) => schedule(wants(kernel), hosts, { catalogued });

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
  assert.equal(schedule(aSpec({ runtime: 'runc' }), [candidate(aHost('a'))]).outcome, 'place');
});

test('a reservation must fit beside what is reserved already, a limit beside nothing', () => {
  const gib = 2 ** 30;
  const host = (reserved: number) => [candidate(aHost('a'), { memoryBytes: reserved })];
  assert.equal(chosen(reserving('2g'), host(6 * gib)), 'a');
  assert.match(chosen(reserving('2g'), host(6 * gib + 1)), /2 GiB of memory are to be reserved and 2 GiB of 8 GiB are left: reserve less/);
  assert.equal(chosen({ resources: { ...aSpec().resources, memoryBytes: 8 * gib } }, host(8 * gib)), 'a');
  assert.match(chosen({ resources: { ...aSpec().resources, memoryReservationBytes: gib } }, host(7.5 * gib)), /1 GiB of memory are to be reserved/);
  assert.match(chosen(ruled([], { 'io.pouch.reserve.cpus': '1.5' }), [candidate(aHost('a'), { cpuNanos: 1e9 })]), /1.5 of CPUs are to be reserved and 1 of 2 are left/);
  const few = aHost('a', { facts: aHostsFacts({ capacity: { cpuNanos: 2e9, memoryBytes: gib, pids: 100 } }) });
  assert.match(chosen(ruled([], { 'io.pouch.reserve.pids': '60' }), [candidate(few, { pids: 50 })]), /60 of processes are to be reserved and 50 of 100 are left/);
  assert.match(chosen({ resources: { ...aSpec().resources, pidsLimit: 101 } }, [candidate(few)]), /can have 100 processes, the container's limit is 101/);
});

test('a host port is taken on the addresses that clash, by what runs; by what was only created it is avoided', () => {
  const port = (hostIp: string) => ({ ports: [{ containerPort: 80, protocol: 'tcp' as const, hostIp, hostPort: 80 }] });
  const held = (id: string, ...holds: PortHold[]) => candidate(aHost(id), { ports: new Map([['80/tcp', holds]]) });
  const taken = /host port .*80\/tcp is taken by another container/;
  assert.match(chosen(port('10.0.0.1'), [held('a', { hostIp: '', firm: true })]), taken);
  assert.match(chosen(port(''), [held('a', { hostIp: '10.0.0.1', firm: true })]), taken);
  assert.match(chosen(port('0.0.0.0'), [held('a', { hostIp: '10.0.0.1', firm: true })]), taken);
  assert.equal(chosen(port('10.0.0.2'), [held('a', { hostIp: '10.0.0.1', firm: true })]), 'a');
  assert.equal(chosen(port('::'), [held('a', { hostIp: '0.0.0.0', firm: true })]), 'a');
  assert.equal(chosen({ ports: [{ containerPort: 80, protocol: 'udp', hostIp: '', hostPort: 80 }] }, [held('a', { hostIp: '', firm: true })]), 'a');
  assert.equal(chosen(port(''), [held('a', { hostIp: '', firm: false }), candidate(aHost('b'), { containers: 9 })]), 'b');
  assert.equal(chosen(port(''), [held('a', { hostIp: '', firm: false })]), 'a');
});

test('constraints: labels of the configuration and live ones, the host itself, globs and expressions, hard and soft', () => {
  const hosts = [candidate(aHost('a', { facts: aHostsFacts({ hostname: 'alpha', labels: { rack: 'r1', disk: 'ssd' } }) })), candidate(aHost('b', { facts: aHostsFacts({ hostname: 'beta', labels: { rack: 'r2', old: 'yes' } }), labels: { disk: 'hdd', old: null } }), { containers: 5 })];
  const on = (...env: string[]) => chosen(ruled(env), hosts);
  assert.equal(on('constraint:rack==r2'), 'b');
  assert.equal(on('constraint:node.labels.rack==r2'), 'b');
  assert.equal(on('constraint:rack!=r1'), 'b');
  assert.equal(on('constraint:disk==h*'), 'b');
  assert.equal(on('constraint:node==/^BET/'), 'refused: no host can take the container: a: constraint: node==/^BET/ is asked for, and its node is "a", "alpha"; b: constraint: node==/^BET/ is asked for, and its node is "b", "beta"');
  assert.equal(on('constraint:node==/(?i)^BET/'), 'b');
  assert.equal(on('constraint:node==b'), 'b');
  assert.match(on('constraint:old==yes'), /it has no label "old"/);
  assert.equal(on('constraint:rack==~r2'), 'b');
  assert.equal(on('constraint:rack==~r9'), 'a');
  assert.match(on('constraint:rack==r2', 'constraint:disk==ssd'), /^refused/);
  assert.equal(chosen(ruled([], { 'io.pouch.constraint': 'rack==r*', 'io.pouch.constraint.disk': 'disk!=ssd' }), hosts), 'b');
});

test('affinities: to containers by name, id and label, and to images, however these are written', () => {
  const web = { id: `abcdef012345${'0'.repeat(52)}`, name: 'web', labels: { tier: 'front' } };
  const redis = { id: `sha256:${'12'.repeat(32)}`, name: 'docker.io/library/redis:7' };
  const hosts = [candidate(aHost('a'), { containers: 0 }), candidate(aHost('b'), {}, { containers: [web], images: [redis] })];
  const on = (...env: string[]) => chosen(ruled(env), hosts);
  for (const wanted of ['container==web', `container==${web.id}`, 'container==abcdef012345', 'container==w*', 'tier==front', 'image==redis', 'image==redis:7', 'image==docker.io/library/redis', `image==${redis.id}`, 'image==121212121212']) {
    assert.equal(on(`affinity:${wanted}`), 'b', wanted);
  }
  assert.equal(on('affinity:container!=web'), 'a');
  assert.equal(on('affinity:container!=~web'), 'a');
  assert.equal(on('affinity:tier==~front'), 'b');
  assert.equal(on('affinity:image!=/^redis/'), 'a');
  assert.match(on('affinity:container==db'), /container==db is asked for, and it has no such container/);
  assert.equal(on('affinity:container==~db'), 'a');
});

test('who joins the network of a container goes to its host, however full that is next to others', () => {
  const joined = { id: aContainerId, name: 'web', labels: {} };
  const hosts = [candidate(aHost('a')), candidate(aHost('b'), { containers: 9 }, { containers: [joined] })];
  assert.equal(chosen({ network: { mode: 'container', containerId: aContainerId } }, hosts), 'b');
  assert.match(chosen({ network: { mode: 'container', containerId: aContainerId } }, hosts.slice(0, 1)), /not on this host/);
  assert.equal(chosen({}, hosts), 'a');
});

test('strategies: spread takes the emptiest, binpack the fullest that can take it, random any, and the same again', () => {
  const gib = 2 ** 30;
  const hosts = [candidate(aHost('a'), { memoryBytes: 7.5 * gib, containers: 2 }), candidate(aHost('b'), { memoryBytes: 4 * gib, containers: 1 }), candidate(aHost('c'))];
  assert.equal(chosen(reserving('1g'), hosts), 'c');
  assert.equal(chosen(reserving('1g'), hosts, { strategy: 'binpack' }), 'b');
  assert.equal(chosen(ruled([], { 'io.pouch.strategy': 'spread' }), hosts, { strategy: 'binpack' }), 'c');
  const random = (seed: string) => chosen({}, hosts, { strategy: 'random', seed });
  const drawn = Array.from({ length: 60 }, (_, index) => random(String(index)));
  assert.deepEqual([...new Set(drawn)].sort(), ['a', 'b', 'c']);
  assert.deepEqual(drawn, Array.from({ length: 60 }, (_, index) => random(String(index))));
});

test('a group is spread over zones first and racks second, whatever else runs there', () => {
  const spec = ruled([], { 'io.pouch.spread': 'zone,rack', 'io.pouch.group': 'web' });
  assert.equal(groupOf(aSpec(spec)), 'web');
  const placed = new Map<string, number>();
  const host = (id: string, zone: string, rack: string, others: number) => candidate(aHost(id, { facts: aHostsFacts({ labels: { zone, rack } }) }), { containers: others + (placed.get(id) ?? 0), groups: new Map([['web', placed.get(id) ?? 0]]) });
  const order: string[] = [];
  for (let count = 0; count < 6; count++) {
    const id = chosen(spec, [host('a1', 'a', '1', 9), host('a2', 'a', '2', 9), host('b1', 'b', '1', 0)]);
    order.push(id);
    placed.set(id, (placed.get(id) ?? 0) + 1);
  }
  assert.deepEqual(order, ['b1', 'a1', 'a2', 'b1', 'a1', 'b1']);
});

test('a plan of a large cluster tells a bounded number of verdicts, with the host that was chosen', () => {
  const hosts = Array.from({ length: 200 }, (_, index) => candidate(aHost(`h${String(index).padStart(3, '0')}`, index % 2 === 0 ? { cordoned: true } : {}), { containers: 200 - index }));
  const plan = schedule(aSpec(), hosts);
  assert.equal(plan.outcome === 'place' && plan.hostId, 'h199');
  assert.equal(plan.verdicts[0]?.hostId, 'h199');
  assert.equal(plan.verdicts.length, 2 * maxVerdicts);
});

test('operators label, cordon, drain and remove hosts; what changes nothing is no event', () => {
  const joined = { id: hostId('a'), facts: aHostsFacts({ labels: { rack: 'r1' } }) };
  let host: Host | null = aHost('a', joined);
  const when = (command: Parameters<typeof decideHost>[1]): readonly string[] => {
    const decision = decideHost(host, command, 7);
    if (!decision.ok) return [decision.refusal.code];
    host = decision.events.reduce<Host | null>(evolveHost, host);
    return decision.events.map(({ type }) => type);
  };
  assert.deepEqual(when({ type: 'LabelHost', labels: { rack: 'r1', disk: null } }), []);
  assert.deepEqual(when({ type: 'LabelHost', labels: { rack: 'r2', disk: 'ssd' } }), ['HostLabelled']);
  assert.deepEqual(when({ type: 'LabelHost', labels: { rack: null } }), ['HostLabelled']);
  assert.deepEqual(host.labels, { rack: null, disk: 'ssd' });
  assert.deepEqual(when({ type: 'LabelHost', labels: Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`l${index}`, 'x'])) }), ['in-use']);
  // What the agent says of itself again leaves the live labels as they are.
  assert.deepEqual(when({ type: 'AnnounceHost', id: hostId('a'), facts: aHostsFacts({ labels: { rack: 'r3' } }) }), ['HostChanged']);
  assert.equal(host.labels?.['rack'], null);
  assert.deepEqual(when({ type: 'CordonHost' }), ['HostCordoned']);
  assert.deepEqual(when({ type: 'CordonHost' }), []);
  assert.deepEqual(when({ type: 'ReportHostDrained', left: 0 }), ['stale']);
  assert.deepEqual(when({ type: 'DrainHost' }), ['HostDrainBegun']);
  assert.deepEqual(when({ type: 'DrainHost' }), []);
  assert.deepEqual(when({ type: 'ReportHostDrained', left: 2 }), ['HostDrained']);
  assert.deepEqual(when({ type: 'ReportHostDrained', left: 2 }), []);
  assert.deepEqual(when({ type: 'DrainHost' }), ['HostDrainBegun']);
  assert.deepEqual(when({ type: 'UncordonHost' }), ['HostUncordoned']);
  assert.deepEqual([host.cordoned, host.drain], [false, undefined]);
  assert.deepEqual(when({ type: 'RemoveHost', containers: 0, force: true }), ['running']);
  assert.deepEqual(when({ type: 'ReportHostLost', lastBeatAtMs: 1 }), ['HostLost']);
  assert.deepEqual(when({ type: 'RemoveHost', containers: 3, force: false }), ['in-use']);
  assert.deepEqual(when({ type: 'RemoveHost', containers: 3, force: true }), ['HostRemoved']);
  assert.deepEqual(when({ type: 'CordonHost' }), ['not-found']);
  assert.deepEqual(when({ type: 'AnnounceHost', id: hostId('a'), facts: aHostsFacts({ labels: { rack: 'r3' } }) }), ['HostJoined']);
  assert.deepEqual([host.state, host.cordoned, host.drain, labelsOfHost(host)], ['up', false, undefined, { rack: 'r3' }]);
});
