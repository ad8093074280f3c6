// Keeps one process running: starts it again when it ends, at growing intervals. Knows nothing of the other processes.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, statSync, copyFileSync, truncateSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { endByPidFile, endProcess, identify, writePidFile, type ProcessIdentity } from './process-identity.ts';
import type { ProcessSpec } from './specs.ts';

const firstBackoffMs = 100;
const longestBackoffMs = 5_000;
/** One that ran this long starts again at once, and at the shortest interval after that. */
const steadyMs = 10_000;
/** How often one is asked whether it is of use, and how often in a row it says no before it is started again: at its start it is not of use yet. */
const lookMs = 2_000;
const uselessTimes = 2;
const logMaxBytes = 64 * 1024 * 1024;

export type ProcessState = {
  readonly state: 'starting' | 'running' | 'waiting to start again' | 'stopped';
  readonly pid: number | null;
  /** How often it was started again. */
  readonly restarts: number;
  /** How it ended last: an exit code, a signal, or why it could not be started. */
  readonly lastEnd: string | null;
};

export class SupervisedProcess {
  readonly spec: ProcessSpec;
  readonly #pidFile: string;
  readonly #logFile: string;
  readonly #changed: () => void;
  #child: ChildProcess | undefined;
  #identity: ProcessIdentity | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  /** How often in a row it was found to be of no use. */
  #useless = 0;
  #ending = false;
  #backoffMs = firstBackoffMs;
  #state: ProcessState = { state: 'stopped', pid: null, restarts: 0, lastEnd: null };
  #stopping = false;

  /** `changed` is called after every change of `state`. */
  constructor(spec: ProcessSpec, files: { pid: string; log: string }, changed: () => void) {
    this.spec = spec;
    this.#pidFile = files.pid;
    this.#logFile = files.log;
    this.#changed = changed;
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** Ends what an earlier supervisor left running under this name. */
  async endLeftover(): Promise<void> {
    await endByPidFile(this.#pidFile, this.spec.graceMs);
  }

  /** Starts it; resolves when it takes connections, or false when it does not within `withinMs` (it is started again all the same). */
  async start(withinMs: number): Promise<boolean> {
    await mkdir(dirname(this.#logFile), { recursive: true });
    if (this.#stopping) return false;
    this.#launch();
    if (this.spec.useless !== undefined) this.#looking = setInterval(() => void this.#look(), lookMs);
    if (this.spec.accepts === undefined) return true;
    const deadline = Date.now() + withinMs;
    while (Date.now() < deadline && !this.#stopping) {
      if (this.#identity !== undefined && await this.spec.accepts()) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  }

  /** SIGTERM, then SIGKILL after the spec's grace; not started again, by nobody. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    if (this.#identity !== undefined) await endProcess(this.#identity, this.spec.graceMs);
    await rm(this.#pidFile, { force: true });
    this.#set({ state: 'stopped', pid: null });
  }

  /** Keeps the log file from growing without end: the process holds it open for appending, so it is copied and cut. */
  boundLog(): void {
    try {
      if (statSync(this.#logFile).size <= logMaxBytes) return;
      copyFileSync(this.#logFile, `${this.#logFile}.1`);
      truncateSync(this.#logFile);
    } catch {
      // No room for the copy, or the log was taken away: the next look tries again.
    }
  }

  #set(change: Partial<ProcessState>): void {
    this.#state = { ...this.#state, ...change };
    this.#changed();
  }

  #launch(): void {
    this.boundLog();
    const startedAt = Date.now();
    const log = this.#openLog();
    // A group of its own: neither Ctrl-C at a terminal nor the supervisor's death reaches it.
    const child = spawn(this.spec.command, this.spec.args, { detached: true, cwd: '/', env: this.spec.env, stdio: ['ignore', log ?? 'ignore', log ?? 'ignore'] });
    if (log !== undefined) closeSync(log);
    this.#child = child;
    this.#set({ state: 'starting', pid: child.pid ?? null });
    child.once('error', (error) => this.#ended(child, startedAt, error.message));
    child.once('exit', (code, signal) => this.#ended(child, startedAt, signal ?? `exit code ${code}`));
    this.#identity = child.pid === undefined ? undefined : identify(child.pid);
    if (this.#identity === undefined) return;
    void writePidFile(this.#pidFile, this.#identity).then(
      () => { if (this.#child === child) this.#set({ state: 'running' }); },
      (error: unknown) => this.#set({ lastEnd: `pid file: ${String(error)}` }),
    );
  }

  /** Ends it where it is of no use any more; it is started again as after any other end. */
  async #look(): Promise<void> {
    const [identity, asked] = [this.#identity, this.#useless];
    if (identity === undefined || this.#ending) return;
    // What cannot be asked is not of no use.
    const useless = await (this.spec.useless?.() ?? Promise.resolve(false)).catch(() => false);
    this.#useless = useless && this.#identity === identity ? asked + 1 : 0;
    if (this.#useless < uselessTimes || this.#stopping) return;
    this.#ending = true;
    await endProcess(identity, this.spec.graceMs).catch((error: unknown) => this.#set({ lastEnd: `it is of no use and could not be ended: ${String(error)}` }));
    this.#ending = false;
    this.#useless = 0;
  }

  #openLog(): number | undefined {
    try {
      return openSync(this.#logFile, 'a', 0o640);
    } catch (error) {
      this.#set({ lastEnd: `no log: ${String(error)}` });
      return undefined; // the log's directory was taken away, or the disk is full: running without a log is better than not running
    }
  }

  #ended(child: ChildProcess, startedAt: number, how: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#identity = undefined;
    if (this.#stopping) return;
    if (Date.now() - startedAt >= steadyMs) this.#backoffMs = firstBackoffMs;
    this.#set({ state: 'waiting to start again', pid: null, lastEnd: how, restarts: this.#state.restarts + 1 });
    this.#timer = setTimeout(() => this.#launch(), this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, longestBackoffMs);
  }
}
