// `pouch kernel add|ls|inspect|rm`: the catalogue of guest kernels for containers that are virtual machines. Shapes are the contracts'.
import type { ClusterKernel, ClusterKernels, KernelAdded, KernelOnHost } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { inspected, render, type Column } from '../format/output.ts';
import { humanAgo, humanSize } from '../format/sizes.ts';
import { UsageError } from '../errors.ts';
import { kernelArchive } from '../kernels/archive.ts';
import { several } from './several.ts';

export interface AddFlags {
  readonly image?: string;
  readonly modules?: string;
  readonly probe?: boolean;
  readonly quiet?: boolean;
}

export async function add(context: Context, name: string, flags: AddFlags): Promise<number> {
  if (flags.image === undefined) throw new UsageError('--image names the kernel: a bzImage (vmlinuz) or an uncompressed vmlinux');
  const { stream, bytes, files } = await kernelArchive(flags.image, flags.modules);
  const client = await context.client();
  const probes = flags.probe !== false;
  if (flags.quiet !== true) process.stderr.write(`Sending ${humanSize(bytes)} in ${files} files${probes ? ', then booting it under each machine profile' : ''}\n`);
  const { kernel, warnings } = await client.json<KernelAdded>('POST', '/cluster/kernels', { query: { name, probe: probes ? undefined : 0 }, upload: { stream, contentType: 'application/x-tar', bytes } });
  for (const warning of warnings) process.stderr.write(`WARNING: ${warning}\n`);
  if (flags.quiet !== true) process.stderr.write(probeLines(kernel));
  process.stdout.write(`${kernel.name}\n`);
  // Added it is; whoever scripts this wants to know that no host can boot it.
  return kernel.hosts.length > 0 && kernel.hosts.every(({ profiles }) => profiles.length > 0 && profiles.every(({ ok }) => !ok)) ? 1 : 0;
}

export async function probe(context: Context, name: string, flags: { readonly onHost?: string }): Promise<number> {
  const client = await context.client();
  process.stdout.write(probeLines(await client.json<ClusterKernel>('POST', `/cluster/kernels/${encodeURIComponent(name)}/probe`, { query: { host: flags.onHost } })));
  return 0;
}

/** A line for each host and profile. */
export function probeLines({ hosts }: Pick<ClusterKernel, 'hosts'>): string {
  return hosts.flatMap(({ hostId, acceleration, profiles }) => profiles.map((profile) => `${hostId}${acceleration === null ? '' : ` (${acceleration})`}: ${profileText(profile)}\n`)).join('');
}

function profileText({ profile, ok, bootMs, lacks }: KernelOnHost['profiles'][number]): string {
  const missing = lacks.length === 0 ? '' : ok ? `, without ${lacks.join(', ')}` : `: ${lacks.join('; ')}`;
  return `${profile} ${ok ? `boots${bootMs === null ? '' : ` in ${(bootMs / 1_000).toFixed(1)} s`}` : 'does not boot'}${missing}`;
}

type KernelRow = { readonly Name: string; readonly Release: string; readonly Format: string; readonly Size: string; readonly Modules: string; readonly Profiles: string; readonly Hosts: string; readonly UsedBy: string; readonly Added: string; readonly Source: string; readonly Digest: string };

export async function ls(context: Context, flags: { readonly format?: string; readonly quiet?: boolean }): Promise<number> {
  const client = await context.client();
  const { kernels } = await client.json<ClusterKernels>('GET', '/cluster/kernels');
  if (flags.quiet === true) process.stdout.write(kernels.map(({ name }) => `${name}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(kernels.map((kernel) => `${JSON.stringify(kernel)}\n`).join(''));
  else process.stdout.write(render(flags.format, columns, kernels.map((kernel) => kernelRow(kernel, Date.now()))));
  return 0;
}

const columns: readonly Column<KernelRow>[] = [
  { title: 'Name', value: (row) => row.Name },
  { title: 'Release', value: (row) => row.Release },
  { title: 'Size', value: (row) => row.Size },
  { title: 'Profiles', value: (row) => row.Profiles },
  { title: 'Hosts', value: (row) => row.Hosts },
  { title: 'Used by', value: (row) => row.UsedBy },
  { title: 'Added', value: (row) => row.Added },
];

export function kernelRow(kernel: ClusterKernel, nowMs: number): KernelRow {
  const working = new Set(kernel.hosts.flatMap(({ profiles }) => profiles.filter(({ ok }) => ok).map(({ profile }) => profile)));
  const tried = kernel.hosts.some(({ profiles }) => profiles.length > 0);
  return {
    Name: kernel.name,
    Release: kernel.release ?? 'unknown',
    Format: kernel.format ?? '',
    Size: kernel.sizeBytes === null ? '' : humanSize(kernel.sizeBytes),
    Modules: kernel.moduleCount === null ? '' : String(kernel.moduleCount),
    Profiles: !tried ? 'not booted yet' : working.size === 0 ? 'none boots' : [...working].join(','),
    Hosts: kernel.hosts.filter(({ present }) => present).map(({ hostId, isDefault }) => `${hostId}${isDefault ? ' (default)' : ''}`).join(', '),
    UsedBy: kernel.usedBy.length > 3 ? `${kernel.usedBy.length} containers` : kernel.usedBy.join(', '),
    Added: kernel.addedAtMs === null ? "the host's own" : humanAgo(nowMs - kernel.addedAtMs),
    Source: kernel.source,
    Digest: kernel.digest,
  };
}

export async function inspect(context: Context, names: readonly string[], flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const kernels: ClusterKernel[] = [];
  for (const name of names) kernels.push(await client.json<ClusterKernel>('GET', `/cluster/kernels/${encodeURIComponent(name)}`));
  process.stdout.write(inspected(flags.format, kernels));
  return 0;
}

export async function rm(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', `/cluster/kernels/${encodeURIComponent(name)}`);
    return name;
  });
}
