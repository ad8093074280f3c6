// The real CLI in a real terminal (a pane of tmux): raw mode, sizes, detach keys, and the terminal given back however it ends.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DockerApiStandIn } from './docker-api-stand-in.ts';
import { pouchMain } from './run-pouch.ts';

const skip = (() => {
  try {
    execFileSync('tmux', ['-V'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'tmux is not installed';
  }
})();

const patienceMs = 30_000;
const run = promisify(execFile);

class Terminal {
  readonly socket: string;
  constructor(socket: string) {
    this.socket = socket;
  }
  async tmux(...args: string[]): Promise<string> {
    return (await run('tmux', ['-S', this.socket, '-f', '/dev/null', ...args])).stdout;
  }
  async type(text: string): Promise<void> {
    await this.tmux('send-keys', '-l', text);
    await this.tmux('send-keys', 'Enter');
  }
  async key(name: string): Promise<void> {
    await this.tmux('send-keys', name);
  }
  async sees(pattern: RegExp): Promise<string> {
    const end = Date.now() + patienceMs;
    for (;;) {
      const screen = await this.tmux('capture-pane', '-p', '-J');
      if (pattern.test(screen)) return screen;
      if (Date.now() > end) throw new Error(`the terminal never showed ${pattern}:\n${screen}`);
      await delay(50);
    }
  }
}

/** The prompt of the shell in the container. What is typed early is echoed before the outer shell's prompt, which then stands in front of it. */
const shellInBox = /^(host> )*\$/m;

/** A shell in a terminal of 80 × 24, with `pouch` pointing at the stand-in. */
async function terminal(t: TestContext): Promise<{ api: DockerApiStandIn; at: Terminal }> {
  const api = await new DockerApiStandIn().start();
  const at = new Terminal(join(api.folder, 'tmux.sock'));
  t.after(async () => {
    // Fails where the shell has ended already, and the server with it.
    await at.tmux('kill-server').catch(() => undefined);
    await api.stop();
  });
  await at.tmux('new-session', '-d', '-x', '80', '-y', '24', 'env', `POUCH_HOST=unix://${api.socketPath}`, 'PS1=host> ', 'sh');
  await at.sees(/host>/);
  await at.type(`pouch() { "${process.execPath}" "${pouchMain}" "$@"; }; clear`);
  return { api, at };
}

test('run -it: keys reach the container, ctrl-c too; the size follows; the exit code comes back and the terminal echoes again', { skip }, async (t) => {
  const { api, at } = await terminal(t);
  await at.type('pouch run -it --rm busybox sh; echo "code=$?"');
  await at.sees(shellInBox);
  await at.type('hello');
  await at.sees(/you said hello/);
  await at.type('size');
  await at.sees(/^24x80/m);
  await at.tmux('resize-window', '-x', '70', '-y', '20');
  const end = Date.now() + patienceMs;
  while (api.asked('POST', /resize$/).every(({ query }) => query['h'] !== '20') && Date.now() < end) await delay(50);
  await at.type('size');
  await at.sees(/^20x70/m);
  await at.key('C-c');
  await at.sees(/\^C/);
  await at.type('exit 5');
  await at.sees(/code=5/);
  assert.equal(api.boxes.size, 0);
  await at.type('stty -a | grep -o " echo " && echo back');
  await at.sees(/^back$/m);
});

test('start -i gives a shell; the detach keys leave it running; attach comes back', { skip }, async (t) => {
  const { api, at } = await terminal(t);
  await at.type('pouch create --name hypervisor docker.io/library/busybox:latest');
  await at.sees(/name: hypervisor/);
  await at.type('clear; pouch start hypervisor -i; echo "code=$?"');
  await at.sees(shellInBox);
  await at.type('one');
  await at.sees(/you said one/);
  await at.key('C-p');
  await at.key('C-q');
  await at.sees(/detached; the container goes on[\s\S]*code=0/);
  assert.equal(api.box('hypervisor')?.status, 'running');
  await at.type('clear; pouch attach --detach-keys ctrl-x,d hypervisor; echo "again=$?"');
  while (api.asked('POST', /attach$/).length < 2) await delay(50);
  await at.type('two');
  await at.sees(/you said two/);
  await at.key('C-x');
  await at.key('d');
  await at.sees(/again=0/);
});

test('SIGTERM gives the terminal back', { skip }, async (t) => {
  const { api, at } = await terminal(t);
  await at.type(`echo $$ > '${api.folder}/shell'; sh -c 'echo $$ > "${api.folder}/pid"; exec "${process.execPath}" "${pouchMain}" run -it busybox sh'; echo "code=$?"`);
  await at.sees(shellInBox);
  await at.type('here');
  await at.sees(/you said here/);
  const { stdout } = await run('cat', [join(api.folder, 'pid')]);
  process.kill(Number(stdout), 'SIGTERM');
  await at.sees(/code=143/);
  await at.type('stty -a | grep -o " echo " && echo back');
  await at.sees(/^back$/m);
});

test('pull draws one bar a layer, in place', { skip }, async (t) => {
  const { at } = await terminal(t);
  await at.type('pouch pull far/away:1; echo "code=$?"');
  const screen = await at.sees(/code=0/);
  assert.equal(screen.match(/layer1:/g)?.length, 1);
  assert.match(screen, /layer1: Pull complete/);
  assert.match(screen, /Status: Downloaded newer image for far\/away:1/);
});
