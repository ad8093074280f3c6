// Clients that drive a test's cluster from outside: the real docker CLI, `pouch`, any other program, plain HTTP. Knows nothing of what is tested.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { repositoryDir } from '../../../scripts/config.ts';
import { clusterUnavailable, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxMissing } from '../../fixtures/images.ts';

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

export type Running = {
  readonly child: ChildProcess;
  /** What has been printed so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Ends on its own, or by SIGKILL after a minute. */
  readonly ended: Promise<Ended>;
};

export type Call = { readonly input?: string | Buffer; readonly env?: Readonly<Record<string, string>> };

const limitMs = 60_000;
export const pouchProgram = join(repositoryDir, 'packages', 'cli', 'bin', 'pouch');
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const isInstalled = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Why a test with whole clusters cannot run here, or false; `programs` are those it needs besides. */
export function unavailable(...programs: readonly string[]): string | false {
  const missing = programs.find((program) => !isInstalled(program));
  return clusterUnavailable() ?? (busyboxMissing() || (missing !== undefined && `not installed: ${missing}`));
}

/** Starts a program whose stdin stays open until `child.stdin` is ended. */
export function begin(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: path, HOME: '/nonexistent', LANG: 'C.UTF-8', TERM: 'xterm', TZ: 'UTC', ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
  child.stdin.on('error', () => undefined); // it ended without reading everything: its exit code tells
  const timer = setTimeout(() => {
    stderr += `\n[ended by the test after ${limitMs} ms]`;
    child.kill('SIGKILL');
  }, limitMs);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  }).finally(() => clearTimeout(timer));
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

export class Clients {
  readonly cluster: TestCluster;
  readonly #runtime: string | null;
  readonly #running = new Set<Running>();

  /** With a `runtime`, every `run` and `create` that names none asks for that one. */
  constructor(cluster: TestCluster, runtime: string | null = null) {
    this.cluster = cluster;
    this.#runtime = runtime;
  }

  /** A docker CLI left running; `close` ends it. */
  docker(...args: readonly string[]): Running {
    const [program = '', ...rest] = this.line('docker', ...args);
    return this.keep(begin(program, rest, { DOCKER_CONFIG: join(this.cluster.directory, 'docker') }));
  }

  pouch(...args: readonly string[]): Running {
    const [program = '', ...rest] = this.line(pouchProgram, ...args);
    return this.keep(begin(program, rest));
  }

  /** The whole command line of a client of this cluster. */
  line(program: string, ...args: readonly string[]): string[] {
    const [verb = '', ...rest] = args;
    const chosen = this.#runtime !== null && ['run', 'create'].includes(verb) && !args.includes('--runtime') ? ['--runtime', this.#runtime] : [];
    return [program, '-H', `unix://${this.cluster.socket}`, verb, ...chosen, ...rest];
  }

  /** Runs `docker …` to its end. */
  async tryDocker(args: readonly string[], input: string | Buffer = ''): Promise<Ended> {
    const running = this.docker(...args);
    running.child.stdin?.end(input);
    return await running.ended;
  }

  async tryPouch(args: readonly string[], input: string | Buffer = ''): Promise<Ended> {
    const running = this.pouch(...args);
    running.child.stdin?.end(input);
    return await running.ended;
  }

  /** Runs `docker …`, which must succeed; answers with its output without the last newline. */
  async d(...args: readonly string[]): Promise<string> {
    return succeeded(`docker ${args.join(' ')}`, await this.tryDocker(args));
  }

  async p(...args: readonly string[]): Promise<string> {
    return succeeded(`pouch ${args.join(' ')}`, await this.tryPouch(args));
  }

  /** `docker inspect` of one container or image by a template. */
  async inspect(name: string, template: string): Promise<string> {
    return await this.d('inspect', '-f', template, name);
  }

  /** Runs a command in a new busybox container that removes itself; its output, trimmed. */
  async run(flags: readonly string[], ...command: readonly string[]): Promise<string> {
    return await this.d('run', '--rm', '--network', 'none', ...flags, 'busybox', ...command);
  }

  /** Waits until a container is in a state, by `docker inspect`. */
  async untilStatus(name: string, status: string): Promise<void> {
    await eventually(`${name} is ${status}`, async () => (await this.tryDocker(['inspect', '-f', '{{.State.Status}}', name])).stdout.trim() === status);
  }

  /** One request over the unix socket. */
  async http(method: string, target: string, { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {}): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; text: string }> {
    return await new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const outgoing = request({ socketPath: this.cluster.socket, method, path: target, agent: false, timeout: limitMs, headers: { host: 'docker', ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }), ...headers } }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => { text += piece; });
        response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
        response.once('error', reject);
      });
      outgoing.once('timeout', () => outgoing.destroy(new Error(`${method} ${target}: no answer`)));
      outgoing.once('error', reject);
      outgoing.end(payload);
    });
  }

  /** Removes every container, for others to come. */
  async removeAll(): Promise<void> {
    const all = (await this.d('ps', '-aq', '--no-trunc')).split('\n').filter((id) => id !== '');
    if (all.length > 0) await this.d('rm', '-f', ...all);
  }

  /** Ends every client that still runs. Call it in `after`, before the cluster is stopped. */
  async close(): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGKILL');
    await Promise.allSettled([...this.#running].map(({ ended }) => ended));
  }

  /** Ends with the others in `close`. */
  keep(running: Running): Running {
    this.#running.add(running);
    const forget = (): void => void this.#running.delete(running);
    running.ended.then(forget, forget);
    return running;
  }
}

/** Output of a run that must have succeeded, without the last newline. */
export function succeeded(what: string, { code, stdout, stderr }: Ended): string {
  assert.equal(code, 0, `${what}: exit code ${code}\n${stdout}${stderr}`);
  return stdout.replace(/\r?\n$/, '');
}

/** Polls until `look` answers true, at most a minute. */
export async function eventually(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`it did not come to this within a minute: ${what}`);
    await delay(50);
  }
}

/** Waits until a running client has printed something. */
export async function untilPrinted(running: Running, text: string | RegExp): Promise<void> {
  let over = false;
  running.ended.then(() => { over = true; }, () => { over = true; });
  const found = (): boolean => (typeof text === 'string' ? running.stdout().includes(text) : text.test(running.stdout()));
  await eventually(`${String(text)} is printed (so far: ${running.stdout().slice(-300)})`, () => {
    if (found()) return true;
    if (over) throw new Error(`it ended before it printed ${String(text)}: ${running.stdout()}${running.stderr()}`);
    return false;
  });
}
