// The commands that ask one thing of one or several containers: stop, restart, kill, rm, pause, unpause, rename, wait, top.
import type { Context } from '../context.ts';
import { segment } from '../engine/client.ts';
import type { WaitAnswer } from '../engine/shapes.ts';
import { table } from '../format/table.ts';
import { toInteger } from '../settings/values.ts';
import { exitCodeFrom } from '../terminal/session.ts';
import { several } from './several.ts';

export interface StopFlags {
  readonly time?: string;
  readonly signal?: string;
}

const seconds = (flags: StopFlags) => (flags.time === undefined ? undefined : toInteger('--time', flags.time, { min: -1 }));

export async function stop(context: Context, names: readonly string[], flags: StopFlags): Promise<number> {
  return post(context, names, 'stop', { t: seconds(flags), signal: flags.signal });
}

export async function restart(context: Context, names: readonly string[], flags: StopFlags): Promise<number> {
  return post(context, names, 'restart', { t: seconds(flags), signal: flags.signal });
}

export async function kill(context: Context, names: readonly string[], flags: { readonly signal?: string }): Promise<number> {
  return post(context, names, 'kill', { signal: flags.signal });
}

export const pause = (context: Context, names: readonly string[]): Promise<number> => post(context, names, 'pause', {});
export const unpause = (context: Context, names: readonly string[]): Promise<number> => post(context, names, 'unpause', {});

async function post(context: Context, names: readonly string[], action: string, query: Record<string, string | number | undefined>): Promise<number> {
  const client = await context.client();
  return several(names, async (name) => {
    await client.json('POST', `/containers/${segment(name)}/${action}`, { query });
    return name;
  });
}

export async function rm(context: Context, names: readonly string[], flags: { readonly force?: boolean; readonly volumes?: boolean }): Promise<number> {
  const client = await context.client();
  return several(names, async (name) => {
    await client.json('DELETE', `/containers/${segment(name)}`, { query: { force: flags.force === true ? 1 : undefined, v: flags.volumes === true ? 1 : undefined } });
    return name;
  });
}

export async function rename(context: Context, name: string, newName: string): Promise<number> {
  const client = await context.client();
  await client.json('POST', `/containers/${segment(name)}/rename`, { query: { name: newName } });
  return 0;
}

export async function wait(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return several(names, async (name) => String(exitCodeFrom(await client.json<WaitAnswer>('POST', `/containers/${segment(name)}/wait`))));
}

export async function top(context: Context, name: string, psArgs: readonly string[]): Promise<number> {
  const client = await context.client();
  const query = { ps_args: psArgs.length === 0 ? undefined : psArgs.join(' ') };
  const { Titles, Processes } = await client.json<{ Titles: string[]; Processes: string[][] | null }>('GET', `/containers/${segment(name)}/top`, { query });
  process.stdout.write(table(Titles, Processes ?? []));
  return 0;
}
