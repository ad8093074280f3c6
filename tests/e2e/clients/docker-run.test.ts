// The docker CLI on a cluster of its own: running containers, their input and output, terminals, exec, attach, logs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { Clients, eventually, unavailable, untilPrinted } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';
import { inTerminal } from './terminal.ts';

const skip = unavailable('docker');
let cluster: TestCluster;
let on: Clients;

before(async () => { if (skip === false) cluster = await startTestCluster({ machines }); });
after(async () => { await cluster?.stop(); });

for (const runtime of runtimes) describe(`by ${runtime.name}`, { skip: skip || runtime.skip, timeout: 300_000 }, () => {
  before(() => { on = new Clients(cluster, runtime.name); });
  after(async () => {
    await on.close();
    await on.removeAll();
  });

  describe('docker run', { skip, concurrency: runtime.atOnce }, () => {
    test('prints stdout and stderr apart, in order, and ends with the exit code', async () => {
      const ended = await on.tryDocker(['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
      assert.deepEqual(ended, { code: 7, stdout: 'out\n', stderr: 'err\n' });
    });

    test('loses nothing of a large output', async () => {
      const ended = await on.tryDocker(['run', '--rm', '--network', 'none', 'busybox', 'seq', '1', '200000']);
      assert.equal(ended.stdout.length, 1_288_895);
      assert.ok(ended.stdout.endsWith('199999\n200000\n'));
      // Its log keeps 200 kB of it, and it has ended and is to be removed before half of it has been read.
      const quick = await on.tryDocker(['run', '--rm', '--network', 'none', '--log-opt', 'max-size=100k', '--log-opt', 'max-file=2', 'busybox', 'dd', 'if=/dev/zero', 'bs=64k', 'count=160']);
      assert.equal(quick.stdout.length, 160 << 16);
    });

    test('carries input however early it comes, and its end', async () => {
      for (const text of ['x\n', 'no newline', '']) assert.deepEqual(await on.tryDocker(['run', '-i', '--rm', '--network', 'none', 'busybox', 'cat'], text), { code: 0, stdout: text, stderr: '' });
      const large = Buffer.alloc(3_000_000, 'abcdefghi\n');
      assert.equal((await on.tryDocker(['run', '-i', '--rm', '--network', 'none', 'busybox', 'md5sum'], large)).stdout, `${createHash('md5').update(large).digest('hex')}  -\n`);
    });

    test('output goes on after the end of input', async () => {
      const { stdout } = await on.tryDocker(['run', '-i', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'cat; echo all read; sleep 0.5; echo done'], 'in\n');
      assert.equal(stdout, 'in\nall read\ndone\n');
    });

    test('a command that is not there, or is no program: 127 and 126, with the reason, and nothing is left of --rm', async () => {
      const missing = await on.tryDocker(['run', '--rm', '--name', 'not-there', 'busybox', 'nosuch']);
      assert.equal(missing.code, 127);
      assert.match(missing.stderr, /docker: Error response from daemon: .*exec: "nosuch": executable file not found in \$PATH/);
      const plain = await on.tryDocker(['run', '--name', 'typo', '--network', 'none', 'busybox', 'nosuch']);
      assert.deepEqual([plain.code, plain.stdout], [127, '']);
      assert.match(plain.stderr, /^docker: Error response from daemon: failed to create task/, 'nothing but that: no words of the runtime, no error of wait');
      await on.d('rm', 'typo');
      assert.equal((await on.tryDocker(['run', '--rm', 'busybox', '/etc/passwd'])).code, 126);
      assert.equal(await on.d('ps', '-aq', '-f', 'name=not-there'), '');
    });

    test('-d prints the id; the container goes on and is listed', async () => {
      const id = await on.d('run', '-d', '--name', 'detached', '-l', 'part=one', 'busybox', 'sleep', '1000');
      assert.match(id, /^[0-9a-f]{64}$/);
      for (const filter of ['name=detached', 'status=running', `id=${id.slice(0, 12)}`, 'label=part', 'label=part=one', 'ancestor=busybox', 'network=bridge']) {
        assert.ok((await on.d('ps', '-q', '--no-trunc', '-f', filter)).split('\n').includes(id), filter);
      }
      for (const filter of ['label=part=two', 'status=exited', 'name=attached', 'network=host']) assert.ok(!(await on.d('ps', '-aq', '--no-trunc', '-f', filter)).includes(id), filter);
      const [state, image, command, status, names] = (await on.d('ps', '-f', `id=${id}`, '--format', '{{.State}}|{{.Image}}|{{.Command}}|{{.Status}}|{{.Names}}')).split('|');
      assert.deepEqual([state, image, command, names], ['running', 'busybox', '"sleep 1000"', 'detached']);
      assert.match(status ?? '', /^Up /);
      await on.d('rm', '-f', 'detached');
      assert.equal(await on.d('ps', '-aq', '-f', 'name=detached'), '');
    });

    test('--rm leaves nothing, and its name can be had again', async () => {
      for (let n = 0; n < 2; n++) assert.equal(await on.d('run', '--rm', '--name', 'again', 'busybox', 'echo', String(n)), String(n));
      assert.equal(await on.d('ps', '-aq', '-f', 'name=again'), '');
    });

    test('ctrl-c of docker run ends the container by SIGINT', async () => {
      const run = on.docker('run', '--rm', '--name', 'interrupted', 'busybox', 'sh', '-c', 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.1; done');
      await untilPrinted(run, 'ready');
      run.child.kill('SIGINT');
      assert.deepEqual(await run.ended, { code: 3, stdout: 'ready\ncaught\n', stderr: '' });
    });
  });

  describe('terminals', { skip: skip || unavailable('script'), concurrency: runtime.atOnce }, () => {
    test('run -it: a terminal inside, its size follows the terminal outside, its exit code is ours', async () => {
      const terminal = inTerminal(on, on.line('docker', 'run', '--rm', '-it', '--network', 'none', 'busybox', 'sh'), { rows: 31, columns: 97 });
      await terminal.prompt();
      terminal.type('tty; stty size; echo "term=$TERM"\n');
      await terminal.printed(/\/dev\/(pts\/\d+|console)/);
      await terminal.printed('31 97');
      await terminal.printed('term=xterm');
      await terminal.resize({ rows: 44, columns: 111 });
      await eventually('the new size is there', async () => {
        terminal.type('stty size\n');
        await delay(200);
        return terminal.text().includes('44 111');
      });
      terminal.type('exit 5\n');
      assert.equal(await terminal.exitCode(), 5);
    });

    test('exec -it, and leaving a container by its detach keys', async () => {
      await on.d('run', '-dit', '--name', 'shell', '--network', 'none', 'busybox', 'sh');
      const exec = inTerminal(on, on.line('docker', 'exec', '-it', 'shell', 'sh'), { rows: 25, columns: 80 });
      await exec.prompt();
      exec.type('stty size; exit 4\n');
      await exec.printed('25 80');
      assert.equal(await exec.exitCode(), 4);

      const attached = inTerminal(on, on.line('docker', 'attach', 'shell'), { rows: 20, columns: 70 });
      await eventually('the attached shell answers', async () => {
        attached.type('echo $((40 + 2))\n');
        await delay(200);
        return attached.text().includes('\n42');
      });
      attached.type('\u0010');
      await delay(100);
      attached.type('\u0011');
      await attached.printed('read escape sequence');
      await attached.exitCode();
      assert.equal(await on.inspect('shell', '{{.State.Running}}'), 'true');
      await on.d('rm', '-f', 'shell');
    });
  });

  describe('logs, attach and exec', { skip, concurrency: runtime.atOnce }, () => {
    test('logs: all, the last lines, with times, since and until, and followed to the end', async () => {
      await on.d('run', '-d', '--name', 'talker', '--network', 'none', 'busybox', 'sh', '-c', 'for i in 1 2 3; do echo line $i; done; echo trouble >&2; while [ ! -e /go ]; do sleep 0.1; done; echo last');
      await eventually('all four lines are there', async () => (await on.tryDocker(['logs', 'talker'])).stderr === 'trouble\n');
      assert.equal(await on.d('logs', 'talker'), 'line 1\nline 2\nline 3');
      assert.deepEqual(await on.tryDocker(['logs', '--tail', '2', 'talker']), { code: 0, stdout: 'line 3\n', stderr: 'trouble\n' });
      assert.equal((await on.tryDocker(['logs', '-n', '0', 'talker'])).stdout, '');
      const timed = await on.d('logs', '-t', '-n', '2', 'talker');
      assert.match(timed, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 3$/);
      const atLine3 = timed.split(' ')[0] ?? '';
      assert.match(await on.d('logs', '--since', atLine3, 'talker'), /line 3$/);
      assert.equal(await on.d('logs', '--since', '1h', 'talker'), 'line 1\nline 2\nline 3');
      assert.equal(await on.d('logs', '--until', '1h', 'talker'), '');

      const following = on.docker('logs', '-f', 'talker');
      await untilPrinted(following, 'line 3');
      await on.d('exec', 'talker', 'touch', '/go');
      assert.equal((await following.ended).stdout, 'line 1\nline 2\nline 3\nlast\n');
      assert.match((await on.tryDocker(['logs', 'no-such-one'])).stderr, /^Error( response from daemon)?: No such container: no-such-one/);
    });

    test('attach shows what comes from now on, carries input, and ends with the container and its code', async () => {
      await on.d('run', '-di', '--name', 'reader', '--network', 'none', 'busybox', 'sh', '-c', 'echo before; while read x; do echo "got $x"; [ "$x" = end ] && exit 9; done');
      await eventually('it has begun', async () => (await on.d('logs', 'reader')) === 'before');
      const attached = on.docker('attach', 'reader');
      attached.child.stdin?.write('one\n');
      await untilPrinted(attached, 'got one');
      attached.child.stdin?.write('end\n');
      const { code, stdout } = await attached.ended;
      assert.deepEqual([code, stdout], [9, 'got one\ngot end\n']);
      assert.equal(await on.d('logs', 'reader'), 'before\ngot one\ngot end');
    });

    test('start -ai: a container made before gets its input and gives its output and exit code', async () => {
      await on.d('create', '-i', '--name', 'made', '--network', 'none', 'busybox', 'sh', '-c', 'wc -c; exit 6');
      for (const text of ['four', 'seventy-seven']) assert.deepEqual(await on.tryDocker(['start', '-ai', 'made'], text), { code: 6, stdout: `${text.length}\n`, stderr: '' });
    });

    test('exec: output, input, user, directory, environment, exit codes', async () => {
      await on.d('run', '-d', '--name', 'host-of-execs', '-e', 'GIVEN=by the container', '--network', 'none', 'busybox', 'sleep', '1000');
      const exec = async (...args: string[]) => await on.d('exec', ...args);
      assert.equal(await exec('host-of-execs', 'sh', '-c', 'echo $GIVEN'), 'by the container');
      assert.equal(await exec('-u', 'nobody', '-w', '/tmp', '-e', 'A=b c', 'host-of-execs', 'sh', '-c', 'echo "$(id -un) $PWD $A"'), 'nobody /tmp b c');
      assert.equal(await exec('-u', '12:34', 'host-of-execs', 'id', '-g'), '34');
      assert.equal((await on.tryDocker(['exec', '-i', 'host-of-execs', 'wc', '-c'], 'x'.repeat(700_000))).stdout.trim(), '700000');
      const codes = [[['sh', '-c', 'exit 42'], 42], [['nosuch'], 127], [['/etc/passwd'], 126], [['sh', '-c', 'kill -9 $$'], 137]] as const;
      for (const [command, code] of codes) assert.equal((await on.tryDocker(['exec', 'host-of-execs', ...command])).code, code, command.join(' '));
      const both = await on.tryDocker(['exec', 'host-of-execs', 'sh', '-c', 'echo out; echo err >&2']);
      assert.deepEqual(both, { code: 0, stdout: 'out\n', stderr: 'err\n' });
      await exec('-d', 'host-of-execs', 'touch', '/done');
      await eventually('the detached one has run', async () => (await on.tryDocker(['exec', 'host-of-execs', 'test', '-e', '/done'])).code === 0);
      const stranger = await on.tryDocker(['exec', '-u', 'nobody-here', 'host-of-execs', 'true']);
      assert.equal(stranger.code, 126);
      assert.match(stranger.stderr, /unable to find user nobody-here: no matching entries in passwd file/);
      await on.d('stop', '-t', '0', 'host-of-execs');
      assert.match((await on.tryDocker(['exec', 'host-of-execs', 'true'])).stderr, /[Cc]ontainer [0-9a-f]+ is not running/);
    });

    test('top lists the processes', async () => {
      await on.d('run', '-d', '--name', 'topped', '--network', 'none', 'busybox', 'sh', '-c', 'sleep 998 & exec sleep 999');
      const table = await on.d('top', 'topped');
      assert.match(table, /^UID +PID +PPID/);
      await eventually('both are listed', async () => /sleep 998[^]*|sleep 999/.test(await on.d('top', 'topped')) && (await on.d('top', 'topped', '-o', 'pid,args')).split('\n').length === 3);
    });
  });
});
