// Machines to which things are to happen: one container on each that counts aloud all the time, patience with what may be asked twice, and what must hold when all is over.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { inboxPrefix } from '@pouch/contracts';
import { connectNats, LogUnavailable, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startTestMachines, type TestMachine, type TestMachines, type TestMachinesOptions } from '../../fixtures/machines.ts';
import { assertAgreement, assertBook } from './books.ts';
import { demand, eventually, logLines, NoAnswer, readJson, verified, type Answer } from './client.ts';
import { namesOf, type Entry } from './load.ts';
import { anySeed, randomOf, type Random } from './random.ts';
import { troubleOf } from './under-test.ts';

const wholeWithinMs = 120_000;

type Inspected = { readonly RestartCount: number; readonly State: { readonly Status: string; readonly Running: boolean; readonly Pid: number } };

export type AfterAll = {
  /** As in the books. Default false. */
  readonly diskWasFull?: boolean;
  /** Names of containers that may be there or not. */
  readonly others?: readonly string[];
};

export type LogState = {
  /** The machine whose NATS server leads it. */
  readonly leader: TestMachine;
  readonly lastSeq: number;
  /** Hosts whose NATS servers have all of it. */
  readonly current: readonly string[];
};

export class SeveralMachines {
  readonly cluster: TestMachines;
  readonly random: Random;
  /** Directory for what containers that have it at /book write. */
  readonly book: string;
  /** As an api. */
  readonly #nats: NatsLink;
  /** The counting container of each machine, in their order. */
  #steady: readonly { readonly id: string; readonly pid: number }[] = [];

  private constructor(cluster: TestMachines, random: Random, book: string) {
    this.cluster = cluster;
    this.random = random;
    this.book = book;
    const [{ natsUrl: servers, nats: { caFile, credentialsFile } }] = cluster.apis as readonly [TestMachine, ...TestMachine[]];
    this.#nats = connectNats({ servers, caFile, credentialsFile, inboxPrefix: inboxPrefix({ kind: 'api' }), name: 'test', logger: nullLogger });
  }

  /** With a seed of its own, or POUCH_TEST_SEED. */
  static async start(options: TestMachinesOptions): Promise<SeveralMachines> {
    const started = new SeveralMachines(await startTestMachines(options), randomOf(Number(process.env['POUCH_TEST_SEED'] ?? anySeed())), await mkdtemp(join(tmpdir(), 'pouch-test-book-')));
    started.#steady = await Promise.all(started.cluster.machines.map(async ({ hostId }) => {
      const socket = started.socket(0);
      const { Id } = await demand<{ Id: string }>(socket, 'POST', `/containers/create?name=steady-${hostId}`, {
        body: { Image: 'busybox', Cmd: ['sh', '-c', 'trap : WINCH; i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 0.2; done'], Env: [`constraint:node==${hostId}`], HostConfig: { NetworkMode: 'none' } },
      });
      await demand(socket, 'POST', `/containers/${Id}/start`);
      return { id: Id, pid: (await started.#inspect(socket, Id)).State.Pid };
    }));
    return started;
  }

  async stop(): Promise<void> {
    await this.#nats.close();
    await this.cluster.stop();
    await rm(this.book, { recursive: true, force: true });
  }

  /** Of an api; any number will do. */
  socket(api: number): string {
    return this.cluster.apis[api % this.cluster.apis.length]?.socket ?? '';
  }

  /** The container that counts on a machine, by the machine's place. */
  counting(at: number): string {
    return this.#steady[at]?.id ?? '';
  }

  /** Everything runs, every host is up, at every api, and every NATS server has the whole log: until one that has come back has caught up, the next one that goes is one too many. */
  async whole(): Promise<void> {
    await Promise.all(this.cluster.machines.map((machine) => machine.healthy(wholeWithinMs)));
    await this.cluster.hosts('up', this.cluster.machines.map(({ hostId }) => hostId));
    const servers = this.cluster.machines.filter(({ config }) => config.processes.includes('nats')).map(({ hostId }) => hostId);
    let last: LogState | null = null;
    await eventually('every NATS server has the whole log', async () => {
      last = await this.log();
      return servers.every((hostId) => last?.current.includes(hostId)) ? true : undefined;
    }, { withinMs: wholeWithinMs, explain: () => `only ${last?.current.join(', ') ?? 'nobody knows which'} of ${servers.join(', ')}` });
  }

  /** The log, by whoever leads it. Null: nobody does, for the moment. */
  async log(): Promise<LogState | null> {
    try {
      const { cluster, state } = (await this.#nats.request('$JS.API.STREAM.INFO.EVT', '', { timeoutMs: 2_000 })).json<{ cluster?: { leader?: string; replicas?: readonly { name: string; current: boolean; offline?: boolean }[] }; state?: { last_seq: number } }>();
      const machineOf = (server?: string): TestMachine | undefined => this.cluster.machines.find(({ hostId }) => server === `pouch-${hostId}`);
      const leader = machineOf(cluster?.leader);
      if (leader === undefined) return null;
      const followers = (cluster?.replicas ?? []).filter(({ current, offline }) => current && offline !== true).map(({ name }) => machineOf(name)?.hostId ?? name);
      return { leader, lastSeq: state?.last_seq ?? 0, current: [leader.hostId, ...followers] };
    } catch (error) {
      if (!(error instanceof LogUnavailable)) throw error;
      return null;
    }
  }

  /** Tells the seed and what was said, and after a failure what the machines' logs complain of. */
  async tell(t: TestContext, work: (say: (line: string) => void) => Promise<void>): Promise<void> {
    t.diagnostic(`POUCH_TEST_SEED=${this.random.seed} makes the same faults`);
    const [began, said] = [Date.now(), [] as string[]];
    try {
      await work((line) => { said.push(`${((Date.now() - began) / 1_000).toFixed(1)} s: ${line}`); });
    } catch (error) {
      // Told here as well: a file that is ended later, by its time limit, tells nothing else of it.
      t.diagnostic(error instanceof Error ? error.message.slice(0, 4_000) : String(error));
      for (const machine of this.cluster.machines) t.diagnostic(`════ ${machine.hostId}\n${await troubleOf(machine)}`);
      // The closing lines of a whole run tell the message, and may be all that is kept of it.
      if (error instanceof Error) error.message = `POUCH_TEST_SEED=${this.random.seed}: ${error.message}`;
      throw error;
    } finally {
      t.diagnostic(said.join('\n'));
    }
  }

  /** What ran goes on as the same process; books, log, every projection and every host agree. */
  async assertNothingLost(entries: readonly Entry[], { diskWasFull = false, others = [] }: AfterAll = {}): Promise<void> {
    const sockets = this.cluster.apis.map(({ socket }) => socket);
    for (const [at, { id, pid }] of this.#steady.entries()) {
      for (const socket of sockets) {
        const { State, RestartCount } = await this.#inspect(socket, id);
        assert.deepEqual([State.Running, State.Pid, RestartCount], [true, pid, 0], 'what ran goes on as the same process');
      }
      const counted = (await logLines(this.socket(at), id)).map((line) => Number(/^tick (\d+)$/.exec(line.trim())?.[1]));
      counted.forEach((n, place) => assert.ok(diskWasFull ? n > (counted[place - 1] ?? -1) : n === place, `line ${place} of ${id} says ${n} after ${counted[place - 1]}`));
    }
    const lived = entries.filter(({ abandoned }) => !abandoned);
    await Promise.all(lived.map((entry) => assertBook(entry, { socket: this.socket(0), book: this.book, diskWasFull })));
    const expected = new Map([
      ...lived.filter(({ removed }) => !removed).map((entry) => [entry.newName ?? entry.name, entry.id ?? ''] as const),
      ...this.#steady.map(({ id }, at) => [`steady-${this.cluster.machines[at]?.hostId}`, id] as const),
    ]);
    const abandoned = new Set([...others, ...entries.filter((entry) => entry.abandoned).flatMap(namesOf)]);
    await assertAgreement({ hosts: this.cluster.machines, sockets, expected, abandoned, withinMs: wholeWithinMs });
    for (const socket of sockets) await verified(socket);
  }

  async #inspect(socket: string, id: string): Promise<Inspected> {
    return await readJson<Inspected>(socket, `/containers/${id}/json`);
  }
}

/** Asks again where the answer is 503 or none; for what may be done twice. Rejects at an answer that is not `fine`. */
export async function insist(what: string, call: () => Promise<Answer>, fine: (answer: Answer) => boolean, withinMs = 60_000): Promise<void> {
  let last = '';
  await eventually(what, async () => {
    const answer = await call().catch((error: unknown) => { if (!(error instanceof NoAnswer)) throw error; return null; });
    last = answer === null ? 'no answer' : `${answer.status} ${answer.text.slice(0, 200)}`;
    if (answer === null || answer.status === 503) return undefined;
    if (!fine(answer)) throw new Error(`${what}: ${last}`);
    return true;
  }, { withinMs, explain: () => last });
}
