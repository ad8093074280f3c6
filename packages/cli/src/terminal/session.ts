// A person at a container: attaches, starts where asked to, carries the streams and signals, and ends with the container's exit code.
import { segment, type EngineClient, type Hijacked } from '../engine/client.ts';
import type { WaitAnswer } from '../engine/shapes.ts';
import { ApiError, CliError } from '../errors.ts';
import { defaultDetachKeys, toDetachKeys } from './detach-keys.ts';
import { pump, type PumpPlan } from './pump.ts';
import { enterRawMode } from './raw-mode.ts';
import { forwardSignals } from './signals.ts';
import { followWindowSize } from './window-size.ts';

export interface SessionPlan {
  readonly container: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string | undefined;
  readonly sigProxy: boolean;
  /** Start it once attached, and wait for the exit of that run (or for its removal). */
  readonly start: { readonly autoRemove: boolean } | null;
}

/** End of input as a terminal reads it. */
const endOfTransmission = Uint8Array.of(4);

export const pumpPlan = (tty: boolean, stdin: boolean, detachKeys: string | undefined): PumpPlan => ({
  stdin,
  tty,
  detachKeys: tty && stdin && process.stdin.isTTY ? toDetachKeys(detachKeys ?? defaultDetachKeys) : null,
  ...(tty && stdin && !process.stdin.isTTY ? { endOfInput: endOfTransmission } : {}),
});

/** Refuses a terminal in the container where the caller types at none: what is piped in would not be what a program reads. */
export function requireTerminal(tty: boolean, stdin: boolean): void {
  if (tty && stdin && !process.stdin.isTTY) throw new CliError('the input device is not a TTY', { hint: 'leave out -t where input is piped' });
}

/** Raw mode while `body` runs, where there is a terminal on both sides. */
export async function withTerminal<T>(tty: boolean, stdin: boolean, body: () => Promise<T>): Promise<T> {
  const restore = tty && stdin && process.stdin.isTTY ? enterRawMode(process.stdin) : () => undefined;
  try {
    return await body();
  } finally {
    restore();
  }
}

/** Returns the exit code for the shell: the container's, or 0 after the detach keys. */
export async function runSession(client: EngineClient, plan: SessionPlan): Promise<number> {
  const path = `/containers/${segment(plan.container)}`;
  const streams = pumpPlan(plan.tty, plan.stdin, plan.detachKeys);
  const connection = await client.hijack('POST', `${path}/attach`, {
    query: { stream: 1, stdin: plan.stdin ? 1 : 0, stdout: plan.stdout ? 1 : 0, stderr: plan.stderr ? 1 : 0, detachKeys: plan.detachKeys },
  });
  const stopForwarding = plan.sigProxy && !plan.tty ? forwardSignals((signal) => client.json('POST', `${path}/kill`, { query: { signal } })) : () => undefined;
  let stopResizing = () => {};
  try {
    const condition = plan.start === null ? 'not-running' : plan.start.autoRemove ? 'removed' : 'next-exit';
    const wait = await client.pending<WaitAnswer>('POST', `${path}/wait`, { query: { condition } });
    const outcome = await withTerminal(plan.tty, plan.stdin, async () => {
      const pumped = pump(connection, streams);
      // Observed here so that a failing start does not leave its rejection to nobody.
      pumped.catch(() => undefined);
      if (plan.start !== null) await startContainer(client, path, plan.start.autoRemove);
      if (plan.tty) stopResizing = followWindowSize((h, w) => client.json('POST', `${path}/resize`, { query: { h, w } }), plan.start === null);
      return pumped;
    });
    if (outcome === 'detached') {
      wait.cancel();
      process.stderr.write(`\ndetached; the container goes on: pouch attach ${plan.container.slice(0, 12)}\n`);
      return 0;
    }
    return exitCodeFrom(await wait.answer);
  } finally {
    stopResizing();
    stopForwarding();
    destroy(connection);
  }
}

const destroy = (connection: Hijacked) => connection.destroy();

export function exitCodeFrom(answer: WaitAnswer): number {
  const message = answer.Error?.Message;
  if (message !== undefined && message !== '') throw new CliError(message, { exitCode: 125 });
  return answer.StatusCode;
}

/** Starts; failures end with 127 (no such program), 126 (not executable) or 125, as a shell would. */
export async function startContainer(client: EngineClient, path: string, autoRemove: boolean): Promise<void> {
  try {
    await client.json('POST', `${path}/start`);
  } catch (error) {
    if (autoRemove) {
      await client.json('DELETE', path, { query: { force: 1 } }).catch(() => {
        // The API removes it itself as a rule; what matters to the caller is why the start failed.
      });
    }
    throw error instanceof ApiError ? new CliError(error.message, { exitCode: startExitCode(error.message), cause: error, ...(error.hint === null ? {} : { hint: error.hint }) }) : error;
  }
}

/** By the words of the runtime's message, which is all that the API passes on. */
export function startExitCode(message: string): 125 | 126 | 127 {
  if (/executable file not found|no such file or directory|cannot find the file/i.test(message)) return 127;
  return /permission denied|is a directory|exec format error|not executable/i.test(message) ? 126 : 125;
}
