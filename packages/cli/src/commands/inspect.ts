// `pouch inspect`: everything about containers and images as JSON, now or (containers) as they were at a past instant.
import type { ClusterContainerState } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import { ApiError, errorLine, UsageError } from '../errors.ts';
import { toTemplate } from '../format/template.ts';
import { toUnixTime } from '../format/times.ts';

export interface InspectFlags {
  readonly format?: string;
  readonly type?: string;
  readonly size?: boolean;
  readonly at?: string;
}

export async function inspect(context: Context, names: readonly string[], flags: InspectFlags): Promise<number> {
  const { type, at } = flags;
  if (type !== undefined && type !== 'container' && type !== 'image') throw new UsageError(`--type ${type}: expected container or image`);
  if (at !== undefined && type === 'image') throw new UsageError('--at goes with containers');
  const template = flags.format === undefined || flags.format === 'json' ? null : toTemplate(flags.format);
  const instant = at === undefined ? null : toUnixTime('--at', at, Date.now());
  const client = await context.client();
  const found: unknown[] = [];
  let code = 0;
  for (const name of names) {
    try {
      found.push(instant === null ? await lookUp(client, name, type ?? null, flags.size === true) : await client.json<ClusterContainerState>('GET', `/cluster/containers/${segment(name)}`, { query: { at: instant } }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      process.stderr.write(`${errorLine(error)}\n`);
      code = 1;
    }
  }
  if (template !== null) for (const one of found) process.stdout.write(`${template(one)}\n`);
  else process.stdout.write(`${JSON.stringify(found, null, flags.format === 'json' ? undefined : 4)}\n`);
  return code;
}

async function lookUp(client: EngineClient, name: string, type: 'container' | 'image' | null, size: boolean): Promise<unknown> {
  const missing = (error: unknown): error is ApiError => error instanceof ApiError && error.status === 404;
  if (type !== 'image') {
    try {
      return await client.json('GET', `/containers/${segment(name)}/json`, { query: { size: size ? 1 : undefined } });
    } catch (error) {
      if (!missing(error) || type === 'container') throw error;
    }
  }
  try {
    return await client.json('GET', `/images/${segment(name)}/json`);
  } catch (error) {
    if (!missing(error) || type === 'image') throw error;
    throw new ApiError(404, `no such container or image: ${name}`);
  }
}
