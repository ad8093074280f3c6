// `pouch service create|ls|ps|inspect|scale|update|rollback|rm`: containers with replicas. Shapes are the contracts'.
import type { ClusterService, ClusterServices, ClusterTask } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import { ApiError, UsageError } from '../errors.ts';
import { inspected, render, type Column } from '../format/output.ts';
import { humanAgo } from '../format/sizes.ts';
import { followRollout } from '../progress/rollout.ts';
import { toCreateBody } from '../settings/create-body.ts';
import { serviceSettings, toChanges, type ServiceFlags } from '../settings/service-flags.ts';
import { toInteger } from '../settings/values.ts';
import { pullImage } from './pull.ts';
import type { CreateFlags } from './create.ts';
import { several } from './several.ts';

const path = (name: string, action = ''): string => `/cluster/services/${segment(name)}${action}`;
const noStreams = { stdin: false, stdout: false, stderr: false };

export async function create(context: Context, image: string, command: readonly string[], flags: CreateFlags & ServiceFlags): Promise<number> {
  if (flags.name === undefined) throw new UsageError('a service needs a name: --name web');
  const client = await context.client();
  // Several runtimes are the slots' in turn; the template is read with one of them at a time.
  const { runtime, ...rest } = flags;
  const runtimes = runtime?.split(',') ?? [];
  const template = toCreateBody(image, command, { ...rest, ...(runtimes.length === 1 ? { runtime: runtimes[0] as string } : {}) }, noStreams, { variables: context.config.variables, cwd: process.cwd() });
  const body = { name: flags.name, template, ...(runtimes.length > 1 ? { runtimes } : {}), ...serviceSettings(flags) };
  const service = await withImage(client, image, flags, () => client.json<ClusterService>('POST', '/cluster/services', { body }));
  process.stdout.write(`${service.id}\n`);
  return flags.detach === true ? 0 : await followRollout(client, service.name);
}

async function withImage<T>(client: EngineClient, image: string, flags: Pick<CreateFlags, 'pull' | 'quiet'>, act: () => Promise<T>): Promise<T> {
  const pull = (): Promise<unknown> => pullImage(client, image, process.stderr, { quiet: flags.quiet === true });
  if (flags.pull === 'always') await pull();
  return await act().catch(async (error: unknown) => {
    if (!(error instanceof ApiError) || error.status !== 404 || !/image/i.test(error.message) || flags.pull === 'never') throw error;
    await pull();
    return await act();
  });
}

interface ServiceRow extends Record<string, unknown> {
  readonly Name: string;
  readonly ID: string;
  readonly Replicas: string;
  readonly Image: string;
  readonly Runtime: string;
  readonly Update: string;
}
const serviceColumns: readonly Column<ServiceRow>[] = [
  { title: 'Name', value: (row) => row.Name }, { title: 'ID', value: (row) => row.ID.slice(0, 12) }, { title: 'Replicas', value: (row) => row.Replicas }, { title: 'Image', value: (row) => row.Image }, { title: 'Runtime', value: (row) => row.Runtime },
  { title: 'Update', value: (row) => row.Update },
];

export async function ls(context: Context, flags: { readonly format?: string; readonly quiet?: boolean }): Promise<number> {
  const client = await context.client();
  const { services } = await client.json<ClusterServices>('GET', '/cluster/services');
  if (flags.quiet === true) process.stdout.write(services.map(({ id }) => `${id}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(services.map((service) => `${JSON.stringify(service)}\n`).join(''));
  else process.stdout.write(render(flags.format, serviceColumns, services.map(({ name, id, running, replicas, image, runtimes, rollout, state }) => ({ Name: name, ID: id, Replicas: `${running}/${replicas}`, Image: image, Runtime: [...new Set(runtimes)].join(','), Update: state === 'removing' ? 'removing' : (rollout?.state ?? '') }))));
  return 0;
}

type TaskRow = { readonly Name: string; readonly ID: string; readonly Image: string; readonly Runtime: string; readonly Host: string; readonly Desired: string; readonly Current: string; readonly Reason: string };
const taskColumns: readonly Column<TaskRow>[] = [
  { title: 'Name', value: (row) => row.Name }, { title: 'Image', value: (row) => row.Image }, { title: 'Runtime', value: (row) => row.Runtime }, { title: 'Host', value: (row) => row.Host }, { title: 'Desired', value: (row) => row.Desired },
  { title: 'Current', value: (row) => row.Current }, { title: 'Reason', value: (row) => row.Reason },
];

export async function ps(context: Context, names: readonly string[], flags: { readonly format?: string; readonly quiet?: boolean }): Promise<number> {
  const client = await context.client();
  const tasks: ClusterTask[] = [];
  for (const name of names) tasks.push(...(await client.json<ClusterService>('GET', path(name))).tasks);
  if (flags.quiet === true) process.stdout.write(tasks.map(({ id }) => `${id}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(tasks.map((task) => `${JSON.stringify(task)}\n`).join(''));
  else process.stdout.write(render(flags.format, taskColumns, tasks.map(taskRow)));
  return 0;
}

function taskRow({ name, id, image, runtime, hostId, desired, state, sinceMs, exitCode, message }: ClusterTask): TaskRow {
  return { Name: name, ID: id, Image: image, Runtime: runtime ?? '', Host: hostId ?? '', Desired: desired, Current: `${state} ${humanAgo(Date.now() - sinceMs)}`, Reason: message !== '' ? message : exitCode === null ? '' : `exit code ${exitCode}` };
}

export async function inspect(context: Context, names: readonly string[], flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const services: ClusterService[] = [];
  for (const name of names) services.push(await client.json<ClusterService>('GET', path(name)));
  process.stdout.write(inspected(flags.format, services));
  return 0;
}

/** `wanted`: `name=number` each. */
export async function scale(context: Context, wanted: readonly string[], flags: { readonly detach?: boolean }): Promise<number> {
  const pairs = wanted.map((text) => {
    const equals = text.lastIndexOf('=');
    if (equals < 1) throw new UsageError(`${text}: it must be name=number, e.g. web=5`);
    return { name: text.slice(0, equals), replicas: toInteger(text, text.slice(equals + 1)) };
  });
  const client = await context.client();
  const code = await several(wanted, async (text) => {
    const { name, replicas } = pairs[wanted.indexOf(text)] as (typeof pairs)[number];
    await client.json('POST', path(name, '/update'), { body: { replicas } });
    return `${name} scaled to ${replicas}`;
  });
  if (flags.detach !== true && code === 0) for (const { name } of pairs) await followRollout(client, name);
  return code;
}

export async function update(context: Context, name: string, flags: ServiceFlags & { readonly rollback?: boolean }): Promise<number> {
  const client = await context.client();
  if (flags.rollback === true) return await rollback(context, name, flags);
  const before = await client.json<ClusterService>('GET', path(name));
  const body = { version: before.version, ...serviceSettings(flags), ...toChanges(flags, before.template) };
  const act = (): Promise<ClusterService> => client.json<ClusterService>('POST', path(name, '/update'), { body });
  const service = flags.image === undefined ? await act() : await withImage(client, flags.image, {}, act);
  process.stdout.write(`${service.name}\n`);
  return flags.detach === true ? 0 : await followRollout(client, service.name);
}

export async function rollback(context: Context, name: string, flags: { readonly detach?: boolean }): Promise<number> {
  const client = await context.client();
  const service = await client.json<ClusterService>('POST', path(name, '/rollback'), { body: {} });
  process.stdout.write(`${service.name}\n`);
  return flags.detach === true ? 0 : await followRollout(client, service.name);
}

export async function rm(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', path(name));
    return name;
  });
}
