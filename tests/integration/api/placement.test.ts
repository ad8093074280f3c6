// Where containers may run and what becomes of their host, as the API takes and tells it: rules in the environment, reasons in inspect, answers
// about hosts that are lost, and what operators do with hosts. The host is scripted, the log real.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { containerSubject, hostSubject, type DrainProgress } from '@pouch/contracts';
import { containerId, decideContainer, decideHost, type Container, type ContainerCommand, type HostCommand } from '@pouch/domain';
import { connectNats, execute, openEventLog, type NatsLink, type PouchLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { busyboxName } from '../../fixtures/scripted-agent.ts';
import { longMs, startApi, type ApiFixture } from '../../fixtures/api-server.ts';

let api: ApiFixture;
let link: NatsLink;
let log: PouchLog;
const meta = { atMs: 1, service: 'scheduler', actor: 'test', cause: null } as const;

before(async () => {
  api = await startApi();
  await api.projection.waitForSeq(await api.agent.addImage(busyboxName), { timeoutMs: longMs });
  link = connectNats({ servers: api.nats.url, name: 'test', logger: nullLogger });
  log = openEventLog({ link, logger: nullLogger });
  await log.ready(longMs);
});
after(async () => {
  await log.close();
  await link.close();
  await api.stop();
});

async function tellHost(command: HostCommand): Promise<void> {
  const told = await execute({ log, kind: 'host', subject: hostSubject(api.agent.hostId), commandId: randomUUID(), meta, decide: (state) => decideHost(state, command, Date.now()) });
  assert.ok(told.ok);
  await api.projection.waitForSeq(told.seq, { timeoutMs: longMs });
}
async function tellContainer(id: string, command: ContainerCommand): Promise<void> {
  const told = await execute({ log, kind: 'container', subject: containerSubject(api.agent.hostId, containerId(id)), commandId: randomUUID(), meta, decide: (state) => decideContainer(state, command, Date.now()) });
  assert.ok(told.ok);
  await api.projection.waitForSeq(told.seq, { timeoutMs: longMs });
}
const stateOf = (id: string): Container => api.projection.present.container(id)?.state as Container;

test('rules are taken out of the environment, kept with the container and shown with what was said of each host', async () => {
  const id = await api.create({ Cmd: ['sleep'], Env: ['A=1', 'constraint:rack==~r1', 'affinity:image==busybox'], Labels: { 'io.pouch.reschedule': 'on-host-loss' }, HostConfig: { MemoryReservation: 64 * 2 ** 20 } }, 'ruled');
  const { json } = await api.ask('GET', `/containers/${id}/json`);
  assert.ok(json.Config.Env.includes('A=1'));
  assert.ok(!json.Config.Env.some((entry: string) => /constraint|affinity/.test(entry)));
  assert.equal(json.HostConfig.MemoryReservation, 64 * 2 ** 20);
  assert.deepEqual([json.Placement.Constraints, json.Placement.Affinities, json.Placement.RescheduleOnHostLoss, json.Placement.HostId], [['rack==~r1'], ['image==busybox'], true, api.agent.hostId]);
  assert.deepEqual([stateOf(id).spec.platform, json.Node.Status], [{ os: 'linux', architecture: 'amd64' }, 'Healthy']);
});

test('rules that are not right are refused with the entry and with what would be right', async () => {
  const refusal = async (body: object): Promise<string> => {
    const { status, json } = await api.ask('POST', '/containers/create', { body: { Image: 'busybox', ...body } });
    assert.equal(status, 400);
    return json.message;
  };
  assert.match(await refusal({ Env: ['A=1', 'constraint:rack=r1'] }), /^Env\[1\]: constraint: "rack=r1" is not an expression: it must be key==value/);
  assert.match(await refusal({ Env: ['affinity:image==/(a+)+/'] }), /repetition of a group/);
  assert.match(await refusal({ Labels: { 'io.pouch.strategy': 'best' } }), /^Labels.io.pouch.strategy: there is no strategy "best"; there are spread/);
  assert.match(await refusal({ HostConfig: { Memory: 2 ** 26, MemoryReservation: 2 ** 27 } }), /^HostConfig.MemoryReservation/);
});

test('a lost host: what needs it is refused at once with its name, a removal is accepted and stands, lists and inspect say so', async () => {
  const [id, gone] = [await api.create({ Cmd: ['sleep'] }, 'stranded'), await api.create({ Cmd: ['sleep'] }, 'unwanted')];
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 204);
  api.agent.pause();
  const waiting = api.ask('POST', `/containers/${id}/stop?t=1`);
  await api.projection.waitForContainer(containerId(id), (container) => (container?.requests.length === 1 ? true : undefined), { timeoutMs: longMs });
  await tellHost({ type: 'ReportHostLost', lastBeatAtMs: 1 });
  const words = /^host host-1 of container stranded is lost since .*: (stop|restart) is possible when it is back$/;
  // Also whoever waits already is told.
  for (const answer of [await waiting, await api.ask('POST', `/containers/${id}/restart`)]) {
    assert.equal(answer.status, 503);
    assert.match(answer.json.message, words);
  }
  assert.equal((await api.ask('DELETE', `/containers/${gone}`)).status, 204);
  assert.deepEqual(stateOf(gone).requests.map(({ action }) => action.kind), ['remove']);
  const listed = (await api.ask('GET', '/containers/json')).json.find((one: { Id: string }) => one.Id === id);
  assert.match(listed.Status, /^Host Lost .* ago, was: Up /);
  const { State, Node } = (await api.ask('GET', `/containers/${id}/json`)).json;
  assert.match(State.Error, /its host host-1 is lost since/);
  assert.equal(Node.Status, 'Lost');
  await tellHost({ type: 'ReportHostReturned' });
  api.agent.resume();
  await api.projection.waitForContainer(gone, (container) => (container === null || container.status === 'removed' ? true : undefined), { timeoutMs: longMs });
  await api.projection.waitForContainer(id, (container) => (container?.status === 'exited' ? true : undefined), { timeoutMs: longMs });
});

test('a replaced container is dead, out of the list of what runs, and its name is not to be had before its successor has it', async () => {
  const id = await api.create({ Cmd: ['sleep'], Labels: { 'io.pouch.reschedule': 'on-host-loss' } }, 'moved');
  await api.ask('POST', `/containers/${id}/start`);
  api.agent.pause();
  const successorId = containerId('5e'.repeat(32));
  await tellContainer(id, { type: 'ReplaceContainer', successorId, why: 'host-lost' });
  const { json } = await api.ask('GET', `/containers/${id}/json`);
  assert.deepEqual([json.State.Status, json.Name, json.Successor], ['dead', `/moved.replaced.${id.slice(0, 12)}`, successorId]);
  const ids = async (query: string) => (await api.ask('GET', `/containers/json${query}`)).json.map((one: { Id: string }) => one.Id) as string[];
  assert.ok(!(await ids('')).includes(id));
  assert.ok((await ids('?all=1')).includes(id));
  assert.deepEqual(await ids(`?filters=${encodeURIComponent(JSON.stringify({ status: ['dead'] }))}`), [id]);
  assert.equal((await api.ask('POST', '/containers/create?name=moved', { body: { Image: 'busybox' } })).status, 409);
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 409);
  api.agent.resume();
  await api.projection.waitForContainer(id, (container) => (container === null || container.status === 'removed' ? true : undefined), { timeoutMs: longMs });
});

test('hosts are labelled, cordoned and uncordoned; what is not right is a 4xx with the field', async () => {
  const path = `/cluster/hosts/${api.agent.hostId}`;
  const host = async () => (await api.ask('GET', '/cluster/hosts')).json.hosts[0];
  assert.deepEqual((await api.ask('POST', `${path}/labels`, { body: { set: { rack: 'r1', disk: 'ssd' } } })).json, { labels: { rack: 'r1', disk: 'ssd' } });
  assert.deepEqual((await api.ask('POST', `${path}/labels`, { body: { remove: ['disk'] } })).json, { labels: { rack: 'r1' } });
  assert.deepEqual((await host()).labels, { rack: 'r1' });
  assert.equal((await api.ask('POST', `${path}/cordon`)).status, 204);
  assert.equal((await host()).cordoned, true);
  assert.equal((await api.ask('POST', `${path}/uncordon`)).status, 204);
  assert.equal((await host()).cordoned, false);
  assert.equal((await api.ask('POST', '/cluster/hosts/nobody/cordon')).status, 404);
  assert.equal((await api.ask('POST', '/cluster/hosts/BAD.ID/cordon')).status, 400);
  for (const body of [{ set: { 'a b': 'x' } }, { set: { a: 1 } }, { remove: 'a' }, { other: 1 }]) assert.equal((await api.ask('POST', `${path}/labels`, { body })).status, 400, JSON.stringify(body));
  const refused = await api.ask('DELETE', path);
  assert.equal(refused.status, 409);
  assert.match(refused.json.message, /is up: drain it/);
});

test('a drain tells its progress until the scheduler says that it is done, with why each container stays', async () => {
  const id = await api.create({ Cmd: ['sleep'] }, 'settled');
  const draining = api.ask('POST', `/cluster/hosts/${api.agent.hostId}/drain`);
  while (api.projection.present.host(api.agent.hostId)?.state.drain === undefined) await api.projection.waitForSeq(api.projection.seq + 1, { timeoutMs: longMs });
  await tellHost({ type: 'ReportHostDrained', left: 1 });
  const lines = (await draining).text.trim().split('\n').map((line) => JSON.parse(line) as DrainProgress);
  assert.equal(lines.at(-1)?.state, 'drained');
  assert.match(lines.at(-1)?.left.find((one) => one.id === id)?.reason ?? '', /the label io.pouch.reschedule=on-host-loss allows it/);
  await tellHost({ type: 'UncordonHost' });
});
