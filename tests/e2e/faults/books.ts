// The books of clients against everything else: what the log tells of each container, how often it really began, what apis show and what runs on each host.
import assert from 'node:assert/strict';
import type { TestCluster } from '../../fixtures/cluster.ts';
import { eventually, historyOf, logLines, readJson } from './client.ts';
import { begun, type Entry } from './load.ts';
import { containerdOf } from './under-test.ts';

export type BookOptions = {
  /** Of an api. */
  readonly socket: string;
  /** Directory that every container had at /book. */
  readonly book: string;
  /** Disks were full at times: a start may have failed for that, and output that found no room is lost. Default false. */
  readonly diskWasFull?: boolean;
};

/** One start for one start, one end for one end, nothing that nobody asked for. */
export async function assertBook(entry: Entry, { socket, book, diskWasFull = false }: BookOptions): Promise<void> {
  const { name, id, ending } = entry;
  assert.ok(id !== null);
  const types = (await historyOf(socket, id)).map(({ type }) => type);
  const count = (type: string): number => types.filter((one) => one === type).length;
  const told = `${name}: ${JSON.stringify(entry)} ${types.join(' ')}`;
  // A host that was lost before it had made it, or cannot take it, says no, and another one has it.
  assert.equal(count('ContainerAssigned'), 1 + count('ContainerRejected'), told);
  assert.equal(count('ContainerCreated'), 1, told);
  assert.ok(count('ContainerStarted') >= 1 && count('ContainerStarted') <= entry.starts, told);
  if (!diskWasFull) assert.equal(count('ContainerStartFailed'), 0, told);
  assert.equal(count('ContainerExited'), count('ContainerStarted'), told);
  assert.equal(count('ContainerRemoved'), entry.removed ? 1 : 0, told);
  assert.equal(begun(book, name), count('ContainerStarted'), `${told}: it has really begun ${begun(book, name)} times`);
  const execs = begun(book, `${name}.exec`);
  assert.ok(entry.execs === null ? execs <= 1 : execs === entry.execs, `${told}: its exec has run ${execs} times`);
  assert.equal(count('ContainerRenamed'), entry.newName === null ? 0 : 1, told);
  if (ending === 'by itself') assert.equal(count('ContainerSignalled'), 0, told);
  if (entry.removed) return;
  const { State } = await readJson<{ State: { Status: string; ExitCode: number } }>(socket, `/containers/${id}/json`);
  assert.deepEqual([State.Status, State.ExitCode], ['exited', entry.exitCode], told);
  const [written, lines] = [Array.from({ length: count('ContainerStarted') }, () => `out ${name}`), await logLines(socket, id)];
  assert.deepEqual(lines, diskWasFull ? written.slice(0, lines.length) : written, told);
}

type Row = { readonly id: string; readonly name: string; readonly hostId: string; readonly status: string };

export type Agreement = {
  readonly hosts: readonly TestCluster[];
  /** Of every api. */
  readonly sockets: readonly string[];
  /** Ids by name, of all that must be there. */
  readonly expected: ReadonlyMap<string, string>;
  /** Names of those that may be there or not: their creation was never answered. */
  readonly abandoned: ReadonlySet<string>;
  readonly withinMs?: number;
};

/** What each host's containerd has, what each api shows and what the books say: the same, and no name twice. */
export async function assertAgreement({ hosts, sockets, expected, abandoned, withinMs = 30_000 }: Agreement): Promise<void> {
  const containerds = hosts.map((host) => ({ hostId: host.config.hostId ?? '', client: containerdOf(host) }));
  const byName = (a: string, b: string): number => (a < b ? -1 : 1);
  const books = [...expected].map(([name, id]) => `${name} ${id}`).toSorted();
  try {
    const look = async (socket: string) => {
      const { containers } = await readJson<{ containers: Row[] }>(socket, '/cluster/containers');
      const present = containers.filter(({ status }) => status !== 'removed');
      const there = await Promise.all(containerds.map(async ({ hostId, client }) => ({
        records: (await client.containers.list()).map(({ id }) => `${hostId} ${id}`), tasks: (await client.tasks.list()).map(({ containerId, status }) => `${hostId} ${containerId} ${status}`),
      })));
      return {
        shown: { records: present.map(({ id, hostId }) => `${hostId} ${id}`).toSorted(byName), tasks: present.filter(({ status }) => status === 'running').map(({ id, hostId }) => `${hostId} ${id} RUNNING`).toSorted(byName) },
        there: { records: there.flatMap(({ records }) => records).toSorted(byName), tasks: there.flatMap(({ tasks }) => tasks).toSorted(byName) },
        names: present.map(({ name }) => name).toSorted(),
        wanted: present.filter(({ name }) => !abandoned.has(name)).map(({ id, name }) => `${name} ${id}`).toSorted(),
      };
    };
    for (const socket of sockets) {
      let last: Awaited<ReturnType<typeof look>> | undefined;
      await eventually('agreement of books, projection and containerd', async () => {
        last = await look(socket);
        return JSON.stringify(last.shown) === JSON.stringify(last.there) && JSON.stringify(last.wanted) === JSON.stringify(books) ? true : undefined;
      }, { withinMs }).catch((error: unknown) => {
        assert.deepEqual(last?.there, last?.shown, 'containerd has what the projection shows');
        assert.deepEqual(last?.wanted, books, 'the projection shows what the books say');
        throw error;
      });
      assert.equal(new Set(last?.names).size, last?.names.length, 'no name is there twice');
    }
  } finally {
    for (const { client } of containerds) client.close();
  }
}
