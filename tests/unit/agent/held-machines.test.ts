// Machines that run for somebody's copy: one for all who copy at once, kept a little, ended for whoever starts the container. A shell stands for each.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { FilesHelper } from '@pouch/native';
import { HeldMachines, maxHeld, type HeldMachinesDeps } from '../../../services/agent/src/files/held-machines.ts';
import { until } from '../../fixtures/native.ts';

/** Says OPENED as an empty frame, and ends with its input. */
const boots = "printf '\\000\\000\\000\\000\\020\\000\\000\\000'; exec cat";

interface Host {
  readonly machines: HeldMachines;
  readonly made: FilesHelper[];
  readonly cleared: string[];
  readonly boot: (script?: string) => () => Promise<FilesHelper>;
}

function host(t: TestContext, times: Pick<HeldMachinesDeps, 'bootMs' | 'lingerMs'> = {}): Host {
  const made: FilesHelper[] = [];
  const cleared: string[] = [];
  t.after(async () => { for (const helper of made) await helper.end({ abort: true }); });
  return {
    machines: new HeldMachines({ clear: (id) => { cleared.push(id); return Promise.resolve(); }, ...times }), made, cleared,
    boot: (script = boots) => () => {
      const helper = new FilesHelper({ kind: 'program', path: '/bin/sh', args: () => ['-c', script], searchPath: '/usr/bin:/bin' }, { writing: true });
      made.push(helper);
      return Promise.resolve(helper);
    },
  };
}

const lives = (helper: FilesHelper | undefined): boolean => existsSync(`/proc/${helper?.pid}`);
const gone = async (helper: FilesHelper | undefined): Promise<unknown> => await until('its end', () => (lives(helper) ? undefined : true));

test('whoever copies at once shares one machine, and the last one leaves it for the next for a while', async (t) => {
  const { machines, made, boot } = host(t, { lingerMs: 200 });
  const [one, other] = await Promise.all([machines.take('a', boot()), machines.take('a', boot())]);
  assert.equal(made.length, 1);
  one();
  other();
  (await machines.take('a', boot()))();
  assert.equal(made.length, 1);
  await gone(made[0]);
  (await machines.take('a', boot()))();
  assert.equal(made.length, 2);
});

test('an end waits until nothing is left of it, and what comes after it boots anew', async (t) => {
  const { machines, made, cleared, boot } = host(t);
  await machines.take('a', boot());
  await machines.end('a');
  assert.deepEqual([lives(made[0]), cleared.length], [false, 2], 'before the boot, and after the end');
  await machines.take('a', boot());
  assert.equal(made.length, 2);
  await machines.end('a');
  await machines.end('nobody has one');
  assert.equal(cleared.at(-1), 'nobody has one', 'an earlier agent may have left it');
});

test('an end breaks a boot off, also one that has not begun', async (t) => {
  const { machines, made, boot } = host(t);
  const early = machines.take('a', boot('exec sleep 1000'));
  const refused = assert.rejects(early, { code: 'conflict', message: /started or removed/ });
  await machines.end('a');
  await refused;
  const booting = machines.take('a', boot('exec sleep 1000'));
  const brokenOff = assert.rejects(booting, { code: 'conflict' });
  await until('it boots', () => (made.length > 0 ? true : undefined));
  await machines.end('a');
  await brokenOff;
  assert.ok(made.every((helper) => !lives(helper)));
});

test('one that does not come up, says why, or ends by itself is no obstacle for the next', async (t) => {
  const { machines, made, boot } = host(t, { bootMs: 200 });
  await assert.rejects(machines.take('a', boot('exec sleep 1000')), /did not boot in time/);
  await assert.rejects(machines.take('a', boot('echo the kernel panicked >&2')), /the kernel panicked/);
  (await machines.take('a', boot(`${boots} & exit`)))();
  await gone(made[2]);
  await until('it is known', async () => {
    (await machines.take('a', boot()))();
    return made.length > 3 ? true : undefined;
  });
});

test('there are so many at once: one that nobody uses makes room, else the next is refused', async (t) => {
  const { machines, made, boot } = host(t);
  const leaves: (() => void)[] = [];
  for (let at = 0; at < maxHeld; at++) leaves.push(await machines.take(`c${at}`, boot()));
  await assert.rejects(machines.take('more', boot()), { code: 'unavailable', retryable: true });
  leaves[3]?.();
  await machines.take('more', boot());
  assert.deepEqual(made.map(lives), [true, true, true, false, true, true, true, true, true]);
});
