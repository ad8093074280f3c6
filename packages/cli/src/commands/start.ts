// `pouch start` and `pouch attach`: streams of containers that are there already.
import type { Context } from '../context.ts';
import { segment } from '../engine/client.ts';
import type { ContainerDetail } from '../engine/shapes.ts';
import { CliError, UsageError } from '../errors.ts';
import { runSession } from '../terminal/session.ts';
import { several } from './several.ts';

export interface StartFlags {
  readonly attach?: boolean;
  readonly interactive?: boolean;
  readonly detachKeys?: string;
  readonly sigProxy?: boolean;
}

export async function start(context: Context, names: readonly string[], flags: StartFlags): Promise<number> {
  const client = await context.client();
  if (flags.attach !== true && flags.interactive !== true) {
    return several(names, async (name) => {
      await client.json('POST', `/containers/${segment(name)}/start`);
      return name;
    });
  }
  const [name, ...rest] = names as [string, ...string[]];
  if (rest.length > 0) throw new UsageError('-a and -i go with one container');
  const detail = await client.json<ContainerDetail>('GET', `/containers/${segment(name)}/json`);
  const stdin = flags.interactive === true && detail.Config.OpenStdin === true;
  if (flags.interactive === true && !stdin) process.stderr.write(`pouch: ${name} was created without -i: it reads no input\n`);
  // One that runs already is not started again: -i and -a then mean the run there is.
  const running = detail.State.Running;
  return runSession(client, {
    container: detail.Id,
    tty: detail.Config.Tty === true,
    stdin,
    stdout: true,
    stderr: true,
    detachKeys: flags.detachKeys,
    sigProxy: flags.sigProxy !== false,
    start: running ? null : { autoRemove: detail.HostConfig?.AutoRemove === true },
  });
}

export interface AttachFlags {
  /** False with --no-stdin. */
  readonly stdin?: boolean;
  readonly detachKeys?: string;
  readonly sigProxy?: boolean;
}

export async function attach(context: Context, name: string, flags: AttachFlags): Promise<number> {
  const client = await context.client();
  const detail = await client.json<ContainerDetail>('GET', `/containers/${segment(name)}/json`);
  if (!detail.State.Running) throw new CliError(`${name} is not running`, { hint: `pouch start -ai ${name} starts it and attaches` });
  if (detail.State.Paused === true) throw new CliError(`${name} is paused`, { hint: `pouch unpause ${name}` });
  return runSession(client, {
    container: detail.Id,
    tty: detail.Config.Tty === true,
    stdin: flags.stdin !== false && detail.Config.OpenStdin === true,
    stdout: true,
    stderr: true,
    detachKeys: flags.detachKeys,
    sigProxy: flags.sigProxy !== false,
    start: null,
  });
}
