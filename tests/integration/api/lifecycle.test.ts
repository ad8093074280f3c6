// A container's way through the api: created, started, waited for, listed, inspected, removed; over real NATS and the real projection.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startApi, type ApiFixture } from '../../fixtures/api-server.ts';

let api: ApiFixture;
before(async () => { api = await startApi(); });
after(async () => { await api?.stop(); });

test('create, wait, start, inspect, remove', async () => {
  const id = await api.create({ Cmd: ['exit', '7'], Labels: { a: 'b' } }, 'seven');
  assert.match(id, /^[0-9a-f]{64}$/);
  const waited = api.ask('POST', `/containers/${id.slice(0, 12)}/wait?condition=next-exit`);
  assert.equal((await api.ask('POST', '/v1.41/containers/seven/start')).status, 204);
  assert.deepEqual((await waited).json, { StatusCode: 7 });
  const inspected = (await api.ask('GET', '/containers/seven/json')).json;
  assert.equal(inspected.Name, '/seven');
  assert.equal(inspected.State.Status, 'exited');
  assert.equal(inspected.State.ExitCode, 7);
  assert.equal(inspected.Config.Labels.a, 'b');
  assert.equal(inspected.HostConfig.Runtime, 'runc');
  assert.equal(inspected.Node.ID, 'host-1');
  const list = (await api.ask('GET', '/containers/json?all=1')).json;
  assert.match(list.find((entry: { Id: string }) => entry.Id === id).Status, /^Exited \(7\) .* ago$/);
  assert.equal((await api.ask('DELETE', '/containers/seven')).status, 204);
  const gone = await api.ask('GET', '/containers/seven/json');
  assert.equal(gone.status, 404);
  assert.deepEqual(gone.json, { message: 'No such container: seven' });
});

test('a name is free again when its container is removed, and taken while it is there', async () => {
  const id = await api.create({ Cmd: ['sleep'] }, 'taken');
  const second = await api.ask('POST', '/containers/create?name=taken', { body: { Image: 'busybox' } });
  assert.equal(second.status, 409);
  assert.match(second.json.message, new RegExp(`Conflict. The container name "/taken" is already in use by container "${id}"`));
  await api.ask('DELETE', '/containers/taken');
  assert.notEqual(await api.create({ Cmd: ['sleep'] }, 'taken'), id);
});

test('start and stop of what is so already are 304; a running one is not removed without force', async () => {
  await api.create({ Cmd: ['sleep'] }, 'twice');
  assert.equal((await api.ask('POST', '/containers/twice/stop')).status, 304);
  assert.equal((await api.ask('POST', '/containers/twice/start')).status, 204);
  assert.equal((await api.ask('POST', '/containers/twice/start')).status, 304);
  const removal = await api.ask('DELETE', '/containers/twice');
  assert.equal(removal.status, 409);
  assert.match(removal.json.message, /You cannot remove a running container .* Stop the container before attempting removal or force remove/);
  assert.equal((await api.ask('POST', '/containers/twice/pause')).status, 204);
  assert.equal((await api.ask('GET', '/containers/twice/json')).json.State.Paused, true);
  assert.equal((await api.ask('POST', '/containers/twice/unpause')).status, 204);
  assert.equal((await api.ask('POST', '/containers/twice/kill?signal=HUP')).status, 204);
  assert.equal((await api.ask('POST', '/containers/twice/restart?t=1')).status, 204);
  assert.equal((await api.ask('POST', '/containers/twice/stop?t=1')).status, 204);
  assert.equal((await api.ask('POST', '/containers/twice/kill')).status, 409);
  assert.equal((await api.ask('POST', '/containers/twice/pause')).status, 409);
  assert.equal((await api.ask('DELETE', '/containers/twice?force=true')).status, 204);
});

test('wait: not running, removed, and one that is removed meanwhile', async () => {
  const id = await api.create({ Cmd: ['sleep'] }, 'waiter');
  assert.deepEqual((await api.ask('POST', '/containers/waiter/wait')).json, { StatusCode: 0 });
  await api.ask('POST', '/containers/waiter/start');
  const stopped = api.ask('POST', `/containers/${id}/wait?condition=not-running`);
  const removed = api.ask('POST', `/containers/${id}/wait?condition=removed`);
  await api.ask('DELETE', `/containers/${id}?force=1`);
  assert.deepEqual((await stopped).json, { StatusCode: 137 });
  assert.deepEqual((await removed).json, { StatusCode: 137 });
});

test('a run with AutoRemove is started, waited for and gone', async () => {
  const id = await api.create({ Cmd: ['true'], HostConfig: { AutoRemove: true } });
  const removed = api.ask('POST', `/containers/${id}/wait?condition=removed`);
  const exited = api.ask('POST', `/containers/${id}/wait?condition=next-exit`);
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 204);
  assert.deepEqual((await removed).json, { StatusCode: 0 });
  assert.deepEqual((await exited).json, { StatusCode: 0 });
});

test('what goes wrong on the way is told with its reason', async () => {
  const missing = await api.ask('POST', '/containers/create', { body: { Image: 'nothere' } });
  assert.deepEqual([missing.status, missing.json.message], [404, 'No such image: nothere:latest']);
  const refused = await api.ask('POST', '/containers/create', { body: { Image: 'busybox', Cmd: ['refuse'] } });
  assert.equal(refused.status, 409);
  assert.match(refused.json.message, /host-1: it is a test/);
  const unmade = await api.ask('POST', '/containers/create?name=unmade', { body: { Image: 'busybox', Cmd: ['fail-create'] } });
  assert.deepEqual([unmade.status, unmade.json.message], [400, 'it is not to be made']);
  await api.create({ Cmd: ['fail-start'] }, 'unmade');
  const unstarted = await api.ask('POST', '/containers/unmade/start');
  assert.equal(unstarted.status, 400);
  assert.match(unstarted.json.message, /executable file not found/);
});

test('rename moves the name, and frees the old one', async () => {
  const id = await api.create({ Cmd: ['sleep'] }, 'before');
  await api.create({ Cmd: ['sleep'] }, 'other');
  assert.equal((await api.ask('POST', '/containers/before/rename?name=other')).status, 409);
  assert.equal((await api.ask('POST', '/containers/before/rename?name=later')).status, 204);
  assert.equal((await api.ask('GET', '/containers/later/json')).json.Id, id);
  assert.equal((await api.ask('GET', '/containers/before/json')).status, 404);
  await api.create({ Cmd: ['sleep'] }, 'before');
});

test('renamed twice to the same name at once, the container keeps the name for itself', async () => {
  await api.create({ Cmd: ['sleep'] }, 'first-name');
  const statuses = (await Promise.all([1, 2].map(() => api.ask('POST', '/containers/first-name/rename?name=second-name')))).map(({ status }) => status);
  assert.deepEqual(statuses.toSorted(), [204, 400], 'the other one is told that it has the name already');
  assert.equal((await api.ask('POST', '/containers/create?name=second-name', { body: { Image: 'busybox', Cmd: ['sleep'] } })).status, 409);
});

test('two removals at once: one removes, the other is told', async () => {
  await api.create({ Cmd: ['sleep'] }, 'both');
  const statuses = (await Promise.all([api.ask('DELETE', '/containers/both'), api.ask('DELETE', '/containers/both')])).map((answer) => answer.status).sort();
  assert.equal(statuses[0], 204);
  assert.ok([204, 404, 409].includes(statuses[1] ?? 0), String(statuses));
});

test('prune removes what does not run and fits the filters', async () => {
  const stays = await api.create({ Cmd: ['sleep'] });
  const pruned = await api.create({ Cmd: ['sleep'], Labels: { prune: 'me' } });
  const answer = (await api.ask('POST', `/containers/prune?filters=${encodeURIComponent('{"label":["prune=me"]}')}`)).json;
  assert.deepEqual(answer.ContainersDeleted, [pruned]);
  assert.equal((await api.ask('GET', `/containers/${stays}/json`)).status, 200);
});
