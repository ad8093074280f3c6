// GET /containers/{id}/stats: once with and without a reading before it, line by line, through a stop and a new start, to the container's removal.
import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { startApi, type ApiFixture } from '../../fixtures/api-server.ts';

let api: ApiFixture;
before(async () => { api = await startApi(); });
after(async () => { await api?.stop(); });

interface Told { readonly id: string; readonly name: string; readonly preread: string; readonly cpu_stats: { readonly cpu_usage: { readonly total_usage: number }; readonly system_cpu_usage?: number; readonly online_cpus?: number }; readonly precpu_stats: Told['cpu_stats']; readonly memory_stats: { readonly usage?: number; readonly limit?: number; readonly stats?: Record<string, number> }; readonly networks?: Record<string, { readonly rx_bytes: number }>; readonly pids_stats: { readonly current?: number } }

async function started(): Promise<string> {
  const id = await api.create({ Cmd: ['sleep'] });
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 204);
  return id;
}

const once = async (id: string, query: string): Promise<Told> => {
  const answer = await api.ask('GET', `/containers/${id}/stats?${query}`);
  assert.equal(answer.status, 200);
  return JSON.parse(answer.text) as Told;
};

test('once: with a reading before it, or at once without one; one that does not run has used nothing', async () => {
  const id = await started();
  const told = await once(id, 'stream=0');
  assert.deepEqual([told.id, told.memory_stats.usage, told.memory_stats.limit, told.memory_stats.stats?.['inactive_file'], told.networks?.['eth0']?.rx_bytes, told.pids_stats.current], [id, 10 << 20, 64 << 20, 2 << 20, 1_000, 3]);
  assert.ok(told.cpu_stats.cpu_usage.total_usage > told.precpu_stats.cpu_usage.total_usage && told.precpu_stats.cpu_usage.total_usage > 0);
  assert.ok((told.cpu_stats.system_cpu_usage ?? 0) > (told.precpu_stats.system_cpu_usage ?? 0));
  const single = await once(id, 'stream=0&one-shot=1');
  assert.deepEqual([single.preread, single.precpu_stats.cpu_usage.total_usage, single.precpu_stats.system_cpu_usage], ['0001-01-01T00:00:00Z', 0, undefined]);
  await api.ask('POST', `/containers/${id}/stop`);
  const stopped = await once(id, 'stream=0');
  assert.deepEqual([stopped.id, stopped.memory_stats, stopped.networks], [id, {}, undefined]);
});

test('a stream: rates from the second line on, empty while it is stopped, and its end when it is removed', async () => {
  const id = await started();
  const response = await new Promise<IncomingMessage>((resolve, reject) => { httpRequest({ socketPath: api.socket, path: `/v1.43/containers/${id}/stats` }, resolve).on('error', reject).end(); });
  assert.deepEqual([response.statusCode, response.headers['content-type']], [200, 'application/json']);
  const lines = createInterface({ input: response })[Symbol.asyncIterator]();
  const next = async (): Promise<Told> => JSON.parse((await lines.next()).value as string) as Told;
  const until = async (holds: (told: Told) => boolean): Promise<Told> => {
    for (let tries = 0; tries < 30; tries++) {
      const told = await next();
      if (holds(told)) return told;
    }
    throw new Error('no such line came');
  };
  const [first, second] = [await next(), await next()];
  assert.equal(first.precpu_stats.system_cpu_usage, undefined);
  assert.equal(second.precpu_stats.cpu_usage.total_usage, first.cpu_stats.cpu_usage.total_usage);
  await api.ask('POST', `/containers/${id}/stop`);
  await until((told) => told.memory_stats.usage === undefined);
  await api.ask('POST', `/containers/${id}/start`);
  const again = await until((told) => told.memory_stats.usage !== undefined);
  assert.equal(again.precpu_stats.system_cpu_usage, undefined, 'no rate from before the stop');
  await api.ask('DELETE', `/containers/${id}?force=1`);
  for (let tries = 0; tries < 30; tries++) if ((await lines.next()).done === true) return;
  assert.fail('the stream did not end with its container');
});
