// `pouch exec`: one more process in a running container, with its streams and its exit code.
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import type { ExecDetail } from '../engine/shapes.ts';
import { ApiError, CliError } from '../errors.ts';
import { toEnv } from '../settings/files.ts';
import { pump } from '../terminal/pump.ts';
import { pumpPlan, requireTerminal, startExitCode, withTerminal } from '../terminal/session.ts';
import { followWindowSize } from '../terminal/window-size.ts';

export interface ExecFlags {
  readonly detach?: boolean;
  readonly detachKeys?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly interactive?: boolean;
  readonly privileged?: boolean;
  readonly tty?: boolean;
  readonly user?: string;
  readonly workdir?: string;
}

/** The exit code is told a moment after the streams end; asked for this often, with this long between. */
const exitAttempts = 100;
const exitDelayMs = 20;

export async function exec(context: Context, name: string, command: readonly string[], flags: ExecFlags): Promise<number> {
  const detach = flags.detach === true;
  const tty = flags.tty === true;
  const stdin = flags.interactive === true && !detach;
  if (!detach) requireTerminal(tty, stdin);
  const size = tty && process.stdout.isTTY ? { ConsoleSize: [process.stdout.rows, process.stdout.columns] } : {};
  const client = await context.client();
  const { Id: id } = await client.json<{ Id: string }>('POST', `/containers/${segment(name)}/exec`, {
    body: {
      AttachStdin: stdin,
      AttachStdout: !detach,
      AttachStderr: !detach,
      Tty: tty,
      Cmd: command,
      Env: toEnv(flags.env ?? [], flags.envFile ?? [], context.config.variables),
      ...(flags.user === undefined ? {} : { User: flags.user }),
      ...(flags.workdir === undefined ? {} : { WorkingDir: flags.workdir }),
      ...(flags.privileged === true ? { Privileged: true } : {}),
      ...(flags.detachKeys === undefined ? {} : { DetachKeys: flags.detachKeys }),
      ...size,
    },
  });
  try {
    if (detach) {
      await client.json('POST', `/exec/${id}/start`, { body: { Detach: true, Tty: tty } });
      return 0;
    }
    const connection = await client.hijack('POST', `/exec/${id}/start`, { body: { Detach: false, Tty: tty, ...size } });
    let stopResizing = () => {};
    const outcome = await withTerminal(tty, stdin, () => {
      if (tty) stopResizing = followWindowSize((h, w) => client.json('POST', `/exec/${id}/resize`, { query: { h, w } }));
      return pump(connection, pumpPlan(tty, stdin, flags.detachKeys));
    }).finally(() => stopResizing());
    return outcome === 'detached' ? 0 : await execExitCode(client, id);
  } catch (error) {
    throw error instanceof ApiError ? new CliError(error.message, { exitCode: error.status === 404 || error.status === 409 ? 1 : startExitCode(error.message), cause: error }) : error;
  }
}

async function execExitCode(client: EngineClient, id: string): Promise<number> {
  for (let attempt = 1; attempt <= exitAttempts; attempt++) {
    const detail = await client.json<ExecDetail>('GET', `/exec/${id}/json`);
    if (!detail.Running && detail.ExitCode !== null) return detail.ExitCode;
    await delay(exitDelayMs);
  }
  throw new CliError('the exec still runs though its output has ended', { exitCode: 125 });
}
