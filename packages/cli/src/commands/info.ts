// `pouch version` and `pouch info`: what answers, and what it has.
import type { Context } from '../context.ts';
import type { InfoAnswer, VersionAnswer } from '../engine/shapes.ts';
import { errorLine } from '../errors.ts';
import { humanMemory } from '../format/sizes.ts';
import { toTemplate } from '../format/template.ts';
import { clientVersion } from '../version.ts';

export interface FormatFlags {
  readonly format?: string;
}

export async function version(context: Context, flags: FormatFlags): Promise<number> {
  const template = flags.format === undefined || flags.format === 'json' ? null : toTemplate(flags.format);
  const client = { Version: clientVersion, NodeVersion: process.version, Os: process.platform, Arch: process.arch };
  let server: VersionAnswer | null = null;
  let problem: unknown = null;
  try {
    server = await (await context.client()).json<VersionAnswer>('GET', '/version');
  } catch (error) {
    // The client's own version is worth printing where nobody answers too.
    problem = error;
  }
  const all = { Client: client, Server: server };
  if (template !== null) process.stdout.write(`${template(all)}\n`);
  else if (flags.format === 'json') process.stdout.write(`${JSON.stringify(all)}\n`);
  else process.stdout.write(`${block('Client', { Version: client.Version, Node: client.NodeVersion, 'OS/Arch': `${client.Os}/${client.Arch}` })}${server === null ? '' : `\n${serverBlock(server)}`}`);
  if (problem === null) return 0;
  process.stderr.write(`${errorLine(problem)}\n`);
  return 1;
}

function serverBlock(server: VersionAnswer): string {
  const main = block('Server', {
    Version: server.Version,
    'API version': server.ApiVersion === undefined ? undefined : `${server.ApiVersion}${server.MinAPIVersion === undefined ? '' : ` (minimum version ${server.MinAPIVersion})`}`,
    'Git commit': server.GitCommit,
    'OS/Arch': server.Os === undefined ? undefined : `${server.Os}/${server.Arch ?? ''}`,
    Kernel: server.KernelVersion,
    Built: server.BuildTime,
  });
  return main + (server.Components ?? []).map((one) => ` ${one.Name}: ${one.Version}\n`).join('');
}

export async function info(context: Context, flags: FormatFlags): Promise<number> {
  const template = flags.format === undefined || flags.format === 'json' ? null : toTemplate(flags.format);
  const answer = await (await context.client()).json<InfoAnswer>('GET', '/info');
  if (template !== null) process.stdout.write(`${template(answer)}\n`);
  else if (flags.format === 'json') process.stdout.write(`${JSON.stringify(answer)}\n`);
  else {
    process.stdout.write(block('Cluster', {
      Name: answer.Name,
      'Server version': answer.ServerVersion,
      Containers: `${answer.Containers ?? 0} (${answer.ContainersRunning ?? 0} running, ${answer.ContainersPaused ?? 0} paused, ${answer.ContainersStopped ?? 0} stopped)`,
      Images: answer.Images,
      Runtimes: Object.keys(answer.Runtimes ?? {}).join(', '),
      'Default runtime': answer.DefaultRuntime,
      'Operating system': answer.OperatingSystem,
      Kernel: answer.KernelVersion,
      Architecture: answer.Architecture,
      CPUs: answer.NCPU,
      Memory: answer.MemTotal === undefined ? undefined : humanMemory(answer.MemTotal),
    }));
    for (const warning of answer.Warnings ?? []) process.stderr.write(`${warning}\n`);
  }
  return 0;
}

/** A title and indented lines with aligned values; what is not known is left out. */
function block(title: string, values: Readonly<Record<string, string | number | undefined>>): string {
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  const width = Math.max(0, ...known.map(([name]) => name.length)) + 2;
  return `${title}\n${known.map(([name, value]) => ` ${`${name}:`.padEnd(width)}${value}\n`).join('')}`;
}
