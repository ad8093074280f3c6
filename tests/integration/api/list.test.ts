// Lists of containers and networks: every filter that Docker documents, in both spellings, and limits.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startApi, type ApiFixture } from '../../fixtures/api-server.ts';

let api: ApiFixture;
const ids: Record<string, string> = {};
before(async () => {
  api = await startApi();
  await api.projection.waitForSeq(await api.agent.addImage('docker.io/library/other:1'), { timeoutMs: 60_000 });
  ids.first = await api.create({ Cmd: ['sleep'], Labels: { role: 'web', tier: '1' }, ExposedPorts: { '80/tcp': {} }, HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '8080' }] }, Binds: ['/src:/dst'] } }, 'first');
  ids.second = await api.create({ Cmd: ['exit', '3'], Labels: { role: 'db' }, HostConfig: { NetworkMode: 'none' } }, 'second');
  ids.third = await api.create({ Image: 'other:1', Cmd: ['sleep'] }, 'third');
  ids.fourth = await api.create({ Cmd: ['sleep'] }, 'first-child');
  await api.ask('POST', '/containers/first/start');
  await api.ask('POST', '/containers/second/start');
  await api.ask('POST', '/containers/third/start');
  await api.ask('POST', '/containers/third/pause');
  await api.ask('POST', '/containers/second/wait');
});
after(async () => { await api?.stop(); });

async function names(query: string): Promise<string[]> {
  const answer = await api.ask('GET', `/containers/json?${query}`);
  assert.equal(answer.status, 200, answer.text);
  return (answer.json as { Names: string[] }[]).map((entry) => (entry.Names[0] ?? '').slice(1));
}
const filtered = async (filters: object, more = 'all=1'): Promise<string[]> => await names(`${more}&filters=${encodeURIComponent(JSON.stringify(filters))}`);

test('running ones by default, all on demand, newest first, limited', async () => {
  assert.deepEqual(await names(''), ['third', 'first']);
  assert.deepEqual(await names('all=true'), ['first-child', 'third', 'second', 'first']);
  assert.deepEqual(await names('limit=2'), ['first-child', 'third']);
  assert.deepEqual(await names('limit=-1'), ['third', 'first']);
});

test('each filter', async () => {
  const cases: readonly (readonly [filters: object, expected: readonly string[]])[] = [
    [{ name: ['first'] }, ['first-child', 'first']],
    [{ name: ['^/first$'] }, ['first']],
    [{ name: ['^first$', 'thi?rd'] }, ['third', 'first']],
    [{ name: { second: true } }, ['second']],
    [{ id: [ids.second?.slice(0, 10)] }, ['second']],
    [{ status: ['exited', 'created'] }, ['first-child', 'second']],
    [{ status: ['paused'] }, ['third']],
    [{ exited: ['3'] }, ['second']],
    [{ exited: ['0'] }, []],
    [{ label: ['role'] }, ['second', 'first']],
    [{ label: ['role=web', 'tier=1'] }, ['first']],
    [{ label: ['role=db', 'tier=1'] }, []],
    [{ ancestor: ['busybox'] }, ['first-child', 'second', 'first']],
    [{ ancestor: ['other:1'] }, ['third']],
    [{ ancestor: ['unheard-of'] }, []],
    [{ before: ['second'] }, ['first']],
    [{ since: ['second'] }, ['first-child', 'third']],
    [{ publish: ['8080'] }, ['first']],
    [{ publish: ['8000-9000/tcp'] }, ['first']],
    [{ publish: ['8080/udp'] }, []],
    [{ expose: ['80/tcp'] }, ['first']],
    [{ network: ['none'] }, ['second']],
    [{ volume: ['/dst'] }, ['first']],
    [{ health: ['healthy', 'starting', 'unhealthy'] }, []],
    [{ health: ['none'], name: ['second'] }, ['second']],
    [{ isolation: ['default'], name: ['second'] }, ['second']],
    [{ 'is-task': ['true'] }, []],
    [{ 'is-task': ['false'], name: ['second'] }, ['second']],
  ];
  for (const [filters, expected] of cases) assert.deepEqual(await filtered(filters), expected, JSON.stringify(filters));
  assert.deepEqual(await filtered({ status: ['exited'] }, ''), ['second'], 'a filter on the state asks for stopped ones too');
});

test('an entry has what clients read', async () => {
  const [entry] = (await api.ask('GET', '/containers/json?all=1&size=1&filters={"name":["^/first$"]}'.replaceAll(/[{}"[\]^$]/g, encodeURIComponent))).json;
  assert.deepEqual(
    [entry.Id, entry.Names, entry.Image, entry.Command, entry.State, entry.HostConfig.Runtime, entry.Ports[0].PublicPort, entry.Mounts[0].Destination, entry.SizeRw],
    [ids.first, ['/first'], 'busybox', 'sleep', 'running', 'runc', 8080, '/dst', 0],
  );
  assert.match(entry.Status, /^Up /);
  assert.ok(Math.abs(entry.Created - Date.now() / 1_000) < 600);
});

test('inspect with sizes; prefixes that fit more than one are refused', async () => {
  const inspected = (await api.ask('GET', '/containers/first/json?size=1')).json;
  assert.deepEqual([inspected.SizeRw, inspected.SizeRootFs, inspected.NetworkSettings.Ports['80/tcp'][0].HostPort, inspected.NetworkSettings.Networks.bridge.IPAddress], [12, 1_012, '8080', '10.88.0.2']);
  const taken = new Set<string>();
  let shared: string | undefined;
  for (let count = 0; shared === undefined && count < 40; count++) {
    const digit = (await api.create({ Cmd: ['sleep'] })).slice(0, 1);
    if (taken.has(digit)) shared = digit;
    taken.add(digit);
  }
  const answer = await api.ask('GET', `/containers/${shared}/json`);
  assert.deepEqual([answer.status, answer.json.message], [400, `Multiple IDs found with provided prefix: ${shared}`]);
});

test('networks: those that every host has, with filters, and who is on them', async () => {
  const networks = async (filters: object): Promise<string[]> => ((await api.ask('GET', `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`)).json as { Name: string }[]).map(({ Name }) => Name);
  assert.deepEqual(await networks({}), ['bridge', 'host', 'none']);
  for (const [filters, expected] of [
    [{ driver: ['null'] }, ['none']], [{ name: ['o'] }, ['host', 'none']], [{ scope: ['swarm'] }, []], [{ type: ['custom'] }, []], [{ type: ['builtin'], name: ['host'] }, ['host']], [{ dangling: ['true'] }, []], [{ label: ['a'] }, []],
  ] as const) assert.deepEqual(await networks(filters), expected, JSON.stringify(filters));
  const bridge = (await api.ask('GET', '/networks/bridge')).json as { Id: string; Name: string; Containers: Record<string, { Name: string }> };
  assert.deepEqual(Object.values(bridge.Containers).map(({ Name }) => Name).sort(), ['first', 'third']);
  assert.deepEqual(Object.keys(bridge.Containers).sort(), [ids.first, ids.third].sort());
  assert.equal(((await api.ask('GET', `/networks/${bridge.Id.slice(0, 12)}`)).json as { Name: string }).Name, 'bridge');
  assert.deepEqual(((await api.ask('GET', '/networks/none')).json as { Containers: object }).Containers, {});
});
