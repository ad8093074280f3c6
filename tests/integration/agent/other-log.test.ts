// A log that is lost and begun anew while containers run: none is stopped or removed, also not by the next life of the agent, and the host tells of them.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { containerSubject, hostSubject } from '@pouch/contracts';
import { containerId, type Host } from '@pouch/domain';
import { adoptUnknown, listUnknown, removeUnknown } from '../../../services/agent/src/reconcile/unknown-containers.ts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 240_000 };
let fixture: Fixture;

before(async () => { if (skip === false) fixture = await startFixture(); });
after(async () => { await fixture?.stop(); });

const running = async (): Promise<string[]> => (await fixture.containerd.client.tasks.list()).filter(({ status }) => status === 'RUNNING').map(({ containerId, pid }) => `${containerId} ${pid}`);
const told = async (): Promise<string[]> => (((await fixture.log.last(hostSubject(host)))?.message.snapshot as Host | undefined)?.facts.unknown ?? []).map(({ id }) => id);

test('containers that a new log does not know are left alone and told; new ones are made beside them', options, async () => {
  await fixture.startAgent();
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const before = await running();
  await fixture.nats.kill9();
  await rm(fixture.nats.storeDir, { recursive: true });
  await fixture.nats.restart();
  await eventually(async () => (await told().catch((): string[] => [])).includes(id), 'the host tells the new log of it');
  assert.deepEqual(await running(), before);

  await fixture.stopAgent();
  await fixture.startAgent();
  const next = await fixture.created();
  assert.deepEqual(await running(), before);
  assert.deepEqual(await told(), [id]);
  await fixture.request(next, { kind: 'remove', force: true });
  await fixture.untilStatus(next, 'removed');
  assert.deepEqual((await fixture.containerd.client.containers.list()).map((container) => container.id), [id]);
});

test('one that the log does not know is adopted as it runs, and is a container like any other from then on; another one is removed', options, async () => {
  const id = containerId((await told())[0] ?? '');
  const { rooms } = fixture.agent();
  const [before] = await running();
  assert.deepEqual((await listUnknown(rooms)).containers.map((container) => [container.id, container.state, container.keepsOut]), [[id, 'running', null]]);
  const { seq } = await adoptUnknown(rooms, id);
  assert.equal((await fixture.log.last(containerSubject(host, id)))?.seq, seq);
  await fixture.untilStatus(id, 'running');
  assert.deepEqual([(await running())[0], (await listUnknown(rooms)).containers], [before, []]);
  for (const act of [adoptUnknown, removeUnknown]) await assert.rejects(act(rooms, id), { code: 'not-found' });
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  await fixture.untilStatus(id, 'exited');

  const next = await fixture.created();
  await fixture.request(next, { kind: 'start' });
  await fixture.untilStatus(next, 'running');
  await fixture.nats.kill9();
  await rm(fixture.nats.storeDir, { recursive: true });
  await fixture.nats.restart();
  await eventually(async () => (await told().catch((): string[] => [])).includes(next), 'the host tells the new log of it');
  for (const unknown of [id, next]) await removeUnknown(rooms, unknown);
  assert.deepEqual([await running(), await fixture.containerd.client.containers.list()], [[], []]);
});
