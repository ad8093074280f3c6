// `pouch cluster hosts label|cordon|uncordon|drain|rm`: what operators do with hosts. Shapes are the contracts'.
import type { DrainProgress, HostLabels } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { several } from './several.ts';

const path = (host: string, action = ''): string => `/cluster/hosts/${encodeURIComponent(host)}${action}`;

/** `changes`: `name=value` gives a label, `name-` takes it away. */
export async function label(context: Context, host: string, changes: readonly string[]): Promise<number> {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const change of changes) {
    const equals = change.indexOf('=');
    if (equals > 0) set[change.slice(0, equals)] = change.slice(equals + 1);
    else if (equals === -1 && change.length > 1 && change.endsWith('-')) remove.push(change.slice(0, -1));
    else throw new UsageError(`${change}: it must be name=value to give a label, or name- to take it away`);
  }
  const client = await context.client();
  const { labels } = await client.json<HostLabels>('POST', path(host, '/labels'), { body: { set, remove } });
  process.stdout.write(`${labelsText(labels)}\n`);
  return 0;
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels).sort().map((name) => (labels[name] === '' ? name : `${name}=${labels[name]}`)).join(',');
}

export async function cordon(context: Context, hosts: readonly string[], action: 'cordon' | 'uncordon'): Promise<number> {
  const client = await context.client();
  return await several(hosts, async (host) => {
    await client.json('POST', path(host, `/${action}`));
    return host;
  });
}

/** Ends with 0 when nothing that can be moved is left; what stays is told with its reason. */
export async function drain(context: Context, host: string, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  let last: DrainProgress | null = null;
  for await (const progress of client.lines<DrainProgress>('POST', path(host, '/drain'))) {
    if (flags.format === 'json') process.stdout.write(`${JSON.stringify(progress)}\n`);
    else if (progress.state === 'draining') process.stderr.write(`${drainText(progress)}\n`);
    last = progress;
  }
  if (last === null || last.state === 'draining') throw new CliError('the API ended the drain before it was done', { hint: 'the cluster goes on with it; pouch cluster hosts drain shows it again' });
  if (last.state === 'ended') throw new CliError(`host ${host} is not being drained any more`, { hint: 'somebody has uncordoned it' });
  if (flags.format !== 'json') process.stdout.write(drainedText(host, last));
  return 0;
}

function drainText({ moved, moving, left }: DrainProgress): string {
  return `${moved} moved, ${moving.length} moving, ${left.length} there still`;
}

export function drainedText(host: string, { moved, left }: DrainProgress): string {
  const stays = left.map(({ name, reason }) => `  ${name}: ${reason}\n`).join('');
  return `${host} is drained: ${moved} moved${left.length === 0 ? '' : `, ${left.length} stay`}\n${stays}`;
}

export async function rm(context: Context, hosts: readonly string[], flags: { readonly force?: boolean }): Promise<number> {
  const client = await context.client();
  return await several(hosts, async (host) => {
    await client.json('DELETE', path(host), { query: { force: flags.force === true ? 1 : undefined } });
    return host;
  });
}
