// Disks fill up, one machine's after the other's, in an order decided by a seed: no process ends, what runs goes on, the others' hosts take work, what is refused is refused
// in words, and when there is room again all goes on by itself. POUCH_TEST_SEED repeats a run.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { clusterUnavailable } from '../../fixtures/cluster.ts';
import type { TestMachine } from '../../fixtures/machines.ts';
import { ask, NoAnswer, readJson, type Answer } from './client.ts';
import type { Random } from './random.ts';
import { insist, SeveralMachines } from './several-machines.ts';
import { pidsOf } from './under-test.ts';

const skip = clusterUnavailable() ?? false;
const diskBytes = 640 * 2 ** 20;
/** An api waits for the log, and a client for the api. */
const lateMs = 120_000;

let on: SeveralMachines;

before(async () => {
  if (skip === false) on = await SeveralMachines.start({ diskBytes });
});
after(async () => {
  if (skip === false) await on?.stop();
});

const create = async (api: number, name: string, hostId: string): Promise<Answer> => await ask(on.socket(api), 'POST', `/containers/create?name=${name}`, {
  body: { Image: 'busybox', Cmd: ['true'], Env: [`constraint:node==${hostId}`], HostConfig: { NetworkMode: 'none' } }, timeoutMs: 15_000,
});

function shuffled<T>(all: readonly T[], random: Random): T[] {
  const rest = [...all];
  return all.map(() => rest.splice(random.between(0, rest.length - 1), 1)[0] as T);
}

/** Whether or not there is room for it, the answer is one, and says why. */
async function assertAnswered(api: number, name: string, hostId: string): Promise<string> {
  const answer = await create(api, name, hostId).catch((error: unknown) => { if (!(error instanceof NoAnswer)) throw error; return null; });
  if (answer === null) return 'not answered yet';
  if (answer.status !== 201) assert.ok((JSON.parse(answer.text) as { message: string }).message.length > 10, answer.text);
  assert.notEqual(answer.text, '{"message":"internal error"}');
  return `${answer.status} ${answer.text.slice(0, 120)}`;
}

test('full disks, one after the other: nothing ends, nothing is lost, all goes on when there is room', { skip, timeout: 330_000 }, async (t) => {
  await on.tell(t, async (say) => {
    const others: string[] = [];
    const named = (name: string): string => {
      others.push(name);
      return name;
    };
    for (const machine of shuffled<TestMachine>(on.cluster.machines, on.random)) {
      const { hostId } = machine;
      const before = await pidsOf(machine);
      await machine.fillDisk();
      try {
        say(`the disk of ${hostId} is full`);
        const elsewhere = on.random.pick(on.cluster.machines.filter((other) => other !== machine)).hostId;
        const [answer] = await Promise.all([
          assertAnswered(on.random.between(0, 1), named(`on-${hostId}`), hostId),
          // 409: by an earlier try, which was not answered.
          insist(`a container is made on ${elsewhere}`, () => create(on.random.between(0, 1), named(`beside-${hostId}`), elsewhere), ({ status }) => status === 201 || status === 409, lateMs),
          ...on.cluster.apis.map(async ({ socket }) => { await readJson(socket, '/containers/json?all=1'); }),
        ]);
        say(`a container for ${hostId}: ${answer}`);
        await delay(on.random.between(500, 3_000));
        assert.deepEqual(await pidsOf(machine), before, `what runs on ${hostId} goes on`);
      } finally {
        await machine.freeDisk();
      }
      say(`there is room on ${hostId}`);
      await on.whole();
      await insist(`a container is made on ${hostId}`, () => create(on.random.between(0, 1), named(`after-${hostId}`), hostId), ({ status }) => status === 201 || status === 409, lateMs);
      say(`${hostId} takes containers`);
    }
    await on.assertNothingLost([], { diskWasFull: true, others });
    say('all agree');
  });
});
