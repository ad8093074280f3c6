// container-init, as PID 1 of a pid namespace where the machine lets us make one.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { initPath } from '@pouch/native';
import { ensureNative } from '../../fixtures/native.ts';

const run = promisify(execFile);

before(ensureNative);

async function exitOf(args: readonly string[]): Promise<number | string> {
  const child = spawn(initPath, args, { stdio: 'ignore' });
  const [code, signal] = await once(child, 'exit') as [number | null, string | null];
  return code ?? signal ?? 'nothing';
}

test('it ends as the command ends', async () => {
  assert.equal(await exitOf(['--', '/bin/sh', '-c', 'exit 7']), 7);
  assert.equal(await exitOf(['/bin/true']), 0);
  assert.equal(await exitOf(['--', '/bin/sh', '-c', 'kill -TERM $$']), 128 + 15);
  assert.equal(await exitOf(['--', '/bin/sh', '-c', 'kill -KILL $$']), 128 + 9);
});

test('a command that cannot be run has the shell\'s codes', async () => {
  assert.equal(await exitOf(['--', 'no-such-command-anywhere']), 127);
  assert.equal(await exitOf(['--', '/etc/passwd']), 126);
  assert.equal(await exitOf([]), 2);
  assert.equal(await exitOf(['--']), 2);
});

test('signals reach the command', async () => {
  for (const [signal, code] of [['SIGTERM', 41], ['SIGUSR1', 42], ['SIGHUP', 43], ['SIGINT', 44]] as const) {
    const name = signal.slice(3);
    const child = spawn(initPath, ['--', '/bin/sh', '-c', `trap 'exit ${code}' ${name}; echo ready; while :; do sleep 0.05; done`], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    child.stdout.resume();
    child.kill(signal);
    const [exitCode] = await once(child, 'exit') as [number];
    assert.equal(exitCode, code);
  }
});

test('the command starts with no signal blocked or ignored', async () => {
  const { stdout } = await run(initPath, ['--', 'grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status']);
  for (const line of stdout.trim().split('\n')) {
    // Node ignores SIGPIPE (bit 12) for itself, and its children inherit that.
    assert.equal(BigInt(`0x${line.split(/\s+/)[1]}`) & ~(1n << 12n), 0n, line);
  }
});

async function canUnshare(): Promise<boolean> {
  return await run('unshare', ['--pid', '--fork', '--mount-proc', 'true']).then(() => true, () => false);
}

test('as PID 1 it reaps orphans', async (t) => {
  if (!(await canUnshare())) return t.skip('pid namespaces cannot be made here');
  const script = `
    for orphan in 1 2 3 4 5; do (sleep 0.1 &); done
    for look in $(seq 100); do
      sleep 0.1
      zombies=$(grep -l "^State:.Z" /proc/[0-9]*/status | wc -l)
      if [ $look -gt 5 ] && [ $zombies = 0 ]; then break; fi
    done
    echo $zombies`;
  const { stdout } = await run('unshare', ['--pid', '--fork', '--mount-proc', initPath, '--', '/bin/sh', '-c', script]);
  assert.equal(stdout.trim(), '0');
});

test('as PID 1 it ends with the command, whatever else still runs', async (t) => {
  if (!(await canUnshare())) return t.skip('pid namespaces cannot be made here');
  const child = spawn('unshare', ['--pid', '--fork', '--mount-proc', initPath, '--', '/bin/sh', '-c', 'sleep 600 & exit 5'], { stdio: 'ignore' });
  const [code] = await once(child, 'exit') as [number];
  assert.equal(code, 5);
});

test('on a terminal the command is the foreground group', async (t) => {
  const script = `${initPath} -- sh -c 'cut -d" " -f5,8 /proc/$$/stat'`;
  const result = await run('script', ['-qec', script, '/dev/null']).catch((error: NodeJS.ErrnoException) => error);
  if (result instanceof Error) return t.skip(`script(1) cannot be used here: ${result.message}`);
  const [group, foreground] = result.stdout.trim().split(' ');
  assert.equal(group, foreground);
});
