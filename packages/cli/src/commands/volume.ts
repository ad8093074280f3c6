// `pouch volume create|ls|inspect|rm|prune`: directories of hosts that outlive containers. Prints as docker does, and the host besides.
import { createInterface } from 'node:readline/promises';
import type { DockerVolume } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { UsageError } from '../errors.ts';
import { inspected, render, type Column } from '../format/output.ts';
import { humanSize } from '../format/sizes.ts';
import { toRecord } from '../settings/values.ts';
import { filtersParameter, toFilters } from './filters.ts';
import { several } from './several.ts';

const pathOf = (name: string): string => `/volumes/${encodeURIComponent(name)}`;

export async function create(context: Context, name: string | undefined, flags: { readonly label?: readonly string[] }): Promise<number> {
  const client = await context.client();
  const made = await client.json<DockerVolume>('POST', '/volumes/create', { body: { ...(name === undefined ? {} : { Name: name }), Labels: toRecord('--label', flags.label ?? []) } });
  process.stdout.write(`${made.Name}\n`);
  return 0;
}

type VolumeRow = { readonly Driver: string; readonly Name: string; readonly Host: string; readonly Mountpoint: string; readonly Labels: string };
const columns: readonly Column<VolumeRow>[] = [{ title: 'Driver', value: (row) => row.Driver }, { title: 'Volume name', value: (row) => row.Name }, { title: 'Host', value: (row) => row.Host }];

export async function ls(context: Context, flags: { readonly format?: string; readonly quiet?: boolean; readonly filter?: readonly string[] }): Promise<number> {
  const client = await context.client();
  const { Volumes: volumes } = await client.json<{ Volumes: DockerVolume[] }>('GET', '/volumes', { query: { filters: filtersParameter(toFilters(flags.filter)) } });
  if (flags.quiet === true) process.stdout.write(volumes.map(({ Name }) => `${Name}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(volumes.map((volume) => `${JSON.stringify(volume)}\n`).join(''));
  else process.stdout.write(render(flags.format, columns, volumes.map(rowOf)));
  return 0;
}

const rowOf = ({ Driver, Name, Node, Mountpoint, Labels }: DockerVolume): VolumeRow =>
  ({ Driver, Name, Host: Node?.Name ?? '', Mountpoint, Labels: Object.entries(Labels ?? {}).map(([key, value]) => `${key}=${value}`).join(',') });

export async function inspect(context: Context, names: readonly string[], flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const volumes: DockerVolume[] = [];
  for (const name of names) volumes.push(await client.json<DockerVolume>('GET', pathOf(name)));
  process.stdout.write(inspected(flags.format, volumes));
  return 0;
}

export async function rm(context: Context, names: readonly string[], flags: { readonly force?: boolean }): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', pathOf(name), { query: { force: flags.force === true ? 1 : undefined } });
    return name;
  });
}

export async function prune(context: Context, flags: { readonly all?: boolean; readonly force?: boolean; readonly filter?: readonly string[] }): Promise<number> {
  if (flags.force !== true && !(await agreed(`All ${flags.all === true ? '' : 'anonymous '}volumes that no container has will be removed, with what they hold.`))) return 1;
  const client = await context.client();
  const filters = { ...toFilters(flags.filter), ...(flags.all === true ? { all: ['true'] } : {}) };
  const { VolumesDeleted: names, SpaceReclaimed: bytes } = await client.json<{ VolumesDeleted: string[]; SpaceReclaimed: number }>('POST', '/volumes/prune', { query: { filters: filtersParameter(filters) } });
  process.stdout.write(`${names.map((name) => `${name}\n`).join('')}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}

/** Data are lost: somebody has to be there to say so. */
async function agreed(warning: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError(`${warning} Say so with --force where nobody can be asked`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${warning} Go on? [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
