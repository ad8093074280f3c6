// `pouch cluster hosts|verify|rebuild`: what Docker's API has no word for. Shapes are the contracts'.
import type { ClusterHost, ClusterHosts, RebuildProgress, VerifyReport } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { CliError } from '../errors.ts';
import { render, type Column } from '../format/output.ts';
import { humanAgo, humanMemory } from '../format/sizes.ts';
import { progressBar } from '../progress/progress.ts';
import { labelsText } from './hosts.ts';

type HostRow = { readonly ID: string; readonly Hostname: string; readonly State: string; readonly Address: string; readonly Containers: string; readonly CPUs: string; readonly Memory: string; readonly Runtimes: string; readonly LastBeat: string; readonly Kernel: string; readonly Machines: string; readonly Reserved: string; readonly Labels: string; readonly Versions: string; readonly Warnings: string; readonly Unknown: string };

export async function hosts(context: Context, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const answer = await client.json<ClusterHosts>('GET', '/cluster/hosts');
  if (flags.format === 'json') {
    process.stdout.write(answer.hosts.map((host) => `${JSON.stringify(host)}\n`).join(''));
    return 0;
  }
  const columns: Column<HostRow>[] = [
    { title: 'Host', value: (row) => row.ID },
    { title: 'State', value: (row) => row.State },
    { title: 'Address', value: (row) => row.Address },
    { title: 'Containers', value: (row) => row.Containers },
    { title: 'CPUs', value: (row) => row.CPUs },
    { title: 'Memory', value: (row) => row.Memory },
    { title: 'Reserved', value: (row) => row.Reserved },
    { title: 'Runtimes', value: (row) => row.Runtimes },
    { title: 'Machines', value: (row) => row.Machines },
    { title: 'Labels', value: (row) => row.Labels },
    { title: 'Last beat', value: (row) => row.LastBeat },
  ];
  const now = Date.now();
  process.stdout.write(render(flags.format, columns, answer.hosts.map((host) => hostRow(host, now))));
  return 0;
}

export function hostRow(host: ClusterHost, nowMs: number): HostRow {
  const { facts, beat } = host;
  const total = humanMemory(facts.capacity.memoryBytes);
  return {
    ID: host.id,
    Hostname: facts.hostname,
    State: `${host.state}${host.drain !== null ? (host.drain.done ? ', drained' : ', draining') : host.cordoned ? ', cordoned' : ''}`,
    Address: facts.address,
    Containers: `${host.containers.running} of ${host.containers.total} running${facts.unknown === undefined ? '' : `, ${facts.unknown.length} unknown to the log`}`,
    CPUs: `${Number((facts.capacity.cpuNanos / 1e9).toFixed(2))}${beat === null ? '' : ` (load ${beat.cpuLoad1.toFixed(2)})`}`,
    Memory: beat === null ? total : `${humanMemory(beat.memoryUsedBytes)} of ${total}`,
    Runtimes: facts.runtimes.map(({ name }) => name).join(','),
    LastBeat: host.lastBeatAtMs === null ? 'none' : humanAgo(nowMs - host.lastBeatAtMs),
    Kernel: facts.platform.kernelVersion,
    Machines: machinesText(facts.machines),
    Reserved: reservedText(host.reserved),
    Labels: labelsText(host.labels) || 'none',
    Versions: `agent ${facts.versions.agent}, containerd ${facts.versions.containerd}, runc ${facts.versions.runc}`,
    Warnings: facts.warnings.join('; '),
    Unknown: (facts.unknown ?? []).map(({ id, name, image }) => [id.slice(0, 12), name ?? '', image ?? ''].join(' ').trimEnd()).join('; '),
  };
}

function reservedText(reserved: ClusterHost['reserved']): string {
  if (reserved === null) return 'not known';
  const parts = [
    ...(reserved.memoryBytes > 0 ? [humanMemory(reserved.memoryBytes)] : []),
    ...(reserved.cpuNanos > 0 ? [`${Number((reserved.cpuNanos / 1e9).toFixed(2))} CPUs`] : []),
    ...(reserved.pids > 0 ? [`${reserved.pids} processes`] : []),
  ];
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

/** How a host runs virtual machines, and with which kernels. */
function machinesText(machines: ClusterHost['facts']['machines']): string {
  if (machines === undefined) return 'none';
  const how = machines.acceleration === null ? 'not probed yet' : machines.acceleration === 'tcg' ? 'tcg (software)' : machines.acceleration;
  return machines.kernels.length === 0 ? `${how}, no kernel` : `${how}: ${machines.kernels.map(({ name }) => name).join(',')}`;
}

/** Exits with 1 where anything does not agree. */
export async function verify(context: Context, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const report = await client.json<VerifyReport>('GET', '/cluster/verify');
  process.stdout.write(flags.format === 'json' ? `${JSON.stringify(report)}\n` : verifyText(report));
  return report.ok ? 0 : 1;
}

export function verifyText(report: VerifyReport): string {
  const scope = `${report.checked} messages of ${report.subjects} aggregates, up to sequence ${report.seq}, in ${(report.tookMs / 1000).toFixed(2)} s`;
  const passedOver = report.passedOver === 0 ? '' : `${report.passedOver} messages of kinds that this version does not know were passed over\n`;
  if (report.ok) return `Log and projection agree: ${scope}\n${passedOver}`;
  const lines = report.mismatches.map((one) => `${one.problem.padEnd(10)} ${one.subject} at ${one.seq}: ${one.message}\n`).join('');
  const more = report.mismatchCount > report.mismatches.length ? `… and ${report.mismatchCount - report.mismatches.length} more\n` : '';
  return `${report.mismatchCount} mismatches: ${scope}\n${passedOver}${lines}${more}`;
}

export async function rebuild(context: Context, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const live = process.stdout.isTTY && flags.format !== 'json';
  let last: RebuildProgress | null = null;
  for await (const progress of client.lines<RebuildProgress>('POST', '/cluster/rebuild')) {
    last = progress;
    if (flags.format === 'json') process.stdout.write(`${JSON.stringify(progress)}\n`);
    else if (live && progress.state === 'rebuilding') process.stdout.write(`\r\x1b[2K${rebuildText(progress)}`);
  }
  if (live) process.stdout.write('\r\x1b[2K');
  if (last === null) throw new CliError('the API ended the rebuild without a word');
  if (last.state === 'failed') throw new CliError(`the rebuild failed: ${last.error ?? 'no reason was given'}`, { hint: 'the old projection goes on serving' });
  if (last.state === 'rebuilding') throw new CliError('the API ended the rebuild before it was done', { hint: 'pouch cluster rebuild begins again' });
  if (flags.format !== 'json') process.stdout.write(`Rebuilt from ${last.messages} messages, up to sequence ${last.seq}, in ${(last.elapsedMs / 1000).toFixed(2)} s\n`);
  return 0;
}

const rebuildText = (progress: RebuildProgress): string => `${progressBar(progress.seq, progress.targetSeq).replace(/\].*/, ']')} ${progress.seq} of ${progress.targetSeq}, ${Math.round(progress.messagesPerSecond)} a second`;
