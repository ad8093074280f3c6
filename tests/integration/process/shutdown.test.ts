// The end of a process, seen from outside: hooks in order, bounded, a second signal, and crashes that leave a line.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

interface Ending {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Until it has said `text`. */
  said(text: string): Promise<void>;
  readonly exit: Promise<number | null>;
}

function start(t: TestContext, what: string, stderrTo: 'pipe' | number = 'pipe'): Ending {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'ending-process.ts'), what], { stdio: ['ignore', 'pipe', stderrTo] });
  t.after(() => { child.kill('SIGKILL'); });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data: Buffer) => { stdout += data.toString(); });
  child.stderr?.on('data', (data: Buffer) => { stderr += data.toString(); });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  return {
    child, exit,
    stdout: () => stdout,
    stderr: () => stderr,
    async said(text) {
      while (!stdout.includes(text)) await Promise.race([once(child.stdout ?? child, 'data'), exit.then(() => assert.fail(`it ended without saying ${text}: ${stderr}`))]);
    },
  };
}

const bound = { timeout: 60_000 };

test('hooks run in order, a broken one holds nobody up, and the process ends well', bound, async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const ending = start(t, 'in-order');
    await ending.said('ready');
    ending.child.kill(signal);
    assert.equal(await ending.exit, 0);
    assert.equal(ending.stdout(), 'ready\nfirst\nlast\n');
    const lines = ending.stderr().trim().split('\n').map((line) => JSON.parse(line) as { service: string; hook?: string; err?: { message: string } });
    assert.ok(lines.every(({ service }) => service === 'ending'));
    assert.ok(lines.some(({ hook, err }) => hook === 'broken' && err?.message === 'this step is broken'));
  }
});

test('a second signal ends it at once', bound, async (t) => {
  const ending = start(t, 'hangs');
  await ending.said('ready');
  ending.child.kill('SIGTERM');
  await ending.said('hangs');
  ending.child.kill('SIGTERM');
  assert.equal(await ending.exit, 1);
});

test('hooks that take too long are left', bound, async (t) => {
  const ending = start(t, 'too-slow');
  await ending.said('ready');
  ending.child.kill('SIGTERM');
  assert.equal(await ending.exit, 1);
  assert.match(ending.stderr(), /took too long/);
});

test('what nobody caught is a line in the log and an exit code', bound, async (t) => {
  for (const [what, text] of [['throws', 'thrown by a timer'], ['rejects', 'rejected by nobody']] as const) {
    const ending = start(t, what);
    assert.equal(await ending.exit, 1);
    const last = JSON.parse(ending.stderr().trim().split('\n').at(-1) ?? '{}') as { level: number; err: { message: string } };
    assert.deepEqual([last.level, last.err.message], [60, text]);
  }
});

test('a log that cannot be written, as on a full disk, ends no process', bound, async (t) => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const ending = start(t, 'in-order', full);
  await ending.said('ready');
  ending.child.kill('SIGTERM'); // it says several lines now
  assert.equal(await ending.exit, 0);
  assert.match(ending.stdout(), /first\nlast\n$/);
});
