// When probes are run, over a clock of the test's own: after each interval, one at a time, none in a pause, and what follows is told once.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { HealthCheck, HealthStatus } from '@pouch/domain';
import { Monitor, type ProbeOutcome } from '../../../services/agent/src/health/monitor.ts';

const check = (different: Partial<HealthCheck> = {}): HealthCheck => ({ test: ['CMD', 'ask'], intervalMs: 10_000, timeoutMs: 1_000, startPeriodMs: 0, retries: 2, ...different });

/** A monitor whose probes end when the test says so. */
class Given {
  readonly monitor: Monitor;
  readonly told: HealthStatus[] = [];
  readonly begun: { readonly atMs: number; readonly signal: AbortSignal; readonly end: (outcome: ProbeOutcome) => void }[] = [];
  readonly #context: TestContext;
  /** What a log that was put back says. */
  forgotten: HealthStatus | undefined;

  /** `inLog`: what the log says until this monitor tells it something. */
  constructor(context: TestContext, different: Partial<HealthCheck> = {}, inLog: HealthStatus | null = 'starting') {
    this.#context = context;
    context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
    this.monitor = new Monitor({
      check: check(different), startedAtMs: 0, told: () => this.forgotten ?? this.told.at(-1) ?? inLog, now: () => Date.now(),
      probe: (signal) => new Promise((end) => { this.begun.push({ atMs: Date.now(), signal, end }); }),
      report: (health) => this.told.push(health),
    });
  }

  /** Lets what is due happen. */
  async after(ms: number): Promise<this> {
    await settled();
    this.#context.mock.timers.tick(ms);
    await settled();
    return this;
  }

  async ends(exitCode: number | null): Promise<this> {
    this.begun.at(-1)?.end(exitCode === null ? null : { exitCode, output: '' });
    await settled();
    return this;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

test('the first probe comes after one interval, the next one an interval after its end', async (context) => {
  const given = new Given(context);
  given.monitor.resume();
  await given.after(9_999);
  assert.equal(given.begun.length, 0);
  await given.after(1);
  await given.after(25_000); // it takes its time: no other one begins
  assert.deepEqual(given.begun.map(({ atMs }) => atMs), [10_000]);
  await given.ends(0);
  await given.after(10_000);
  assert.deepEqual(given.begun.map(({ atMs }) => atMs), [10_000, 45_000]);
});

test('only changes are told, and single probes are remembered', async (context) => {
  const given = new Given(context);
  given.monitor.resume();
  for (const exitCode of [0, 0, 1, 1, 1, 0]) {
    await given.after(10_000);
    await given.ends(exitCode);
  }
  assert.deepEqual(given.told, ['healthy', 'unhealthy', 'healthy']);
  assert.deepEqual(given.monitor.record.probes.map(({ exitCode }) => exitCode), [0, 1, 1, 1, 0]);
});

test('a probe that says nothing of the container changes nothing', async (context) => {
  const given = new Given(context, { retries: 1 });
  given.monitor.resume();
  await given.after(10_000);
  await given.ends(null);
  assert.deepEqual([given.told, given.monitor.record.probes.length], [[], 0]);
  await given.after(10_000);
  assert.equal(given.begun.length, 2);
});

test('a pause breaks off the probe, whose outcome does not count; afterwards it begins anew, when that one has gone', async (context) => {
  const given = new Given(context, { retries: 1 });
  given.monitor.resume();
  await given.after(10_000);
  const paused = given.monitor.pause();
  assert.equal(given.begun[0]?.signal.aborted, true);
  await given.after(60_000);
  assert.equal(given.begun.length, 1);
  given.monitor.resume();
  await given.after(60_000);
  assert.equal(given.begun.length, 1, 'the one before is still there');
  await given.ends(1);
  await paused;
  assert.deepEqual([given.told, given.monitor.record.failingStreak], [[], 0]);
  await given.after(10_000);
  assert.equal(given.begun.length, 2);
  assert.deepEqual(given.told, []);
});

test('resuming twice probes once, and pausing twice does no harm', async (context) => {
  const given = new Given(context);
  given.monitor.resume();
  given.monitor.resume();
  await given.after(10_000);
  assert.equal(given.begun.length, 1);
  await given.ends(0);
  await given.monitor.pause();
  await given.monitor.pause();
  await given.after(60_000);
  assert.equal(given.begun.length, 1);
});

test('a check that flaps is told of once a second at most', async (context) => {
  const given = new Given(context, { intervalMs: 1, retries: 1 });
  given.monitor.resume();
  for (let times = 0; times < 10; times++) {
    await given.after(1);
    await given.ends(times % 2);
  }
  assert.deepEqual(given.told, ['healthy']);
  await given.after(1_000);
  await given.ends(1);
  assert.deepEqual(given.told, ['healthy', 'unhealthy']);
});

test('what the log says of the run is not told again by the next life of the agent', async (context) => {
  const given = new Given(context, {}, 'healthy');
  given.monitor.resume();
  await given.after(10_000);
  await given.ends(0);
  assert.deepEqual(given.told, []);
});

test('a log that was put back is told again what it does not know any more', async (context) => {
  const given = new Given(context);
  given.monitor.resume();
  await given.after(10_000);
  await given.ends(0);
  given.forgotten = 'starting';
  await given.after(10_000);
  await given.ends(0);
  assert.deepEqual(given.told, ['healthy', 'healthy']);
});

test('of a run that is over nothing is told', async (context) => {
  const given = new Given(context, {}, null);
  given.monitor.resume();
  await given.after(10_000);
  await given.ends(0);
  assert.deepEqual(given.told, []);
});
