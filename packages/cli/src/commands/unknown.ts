// `pouch cluster hosts unknown|adopt|remove-unknown`: containers that the log does not know, as after a restored backup. Shapes are the contracts'.
import type { ClusterHosts, UnknownContainers } from '@pouch/contracts';
import type { Context } from '../context.ts';
import type { EngineClient } from '../engine/client.ts';
import { UsageError } from '../errors.ts';
import { render, type Column } from '../format/output.ts';
import { humanAgo } from '../format/sizes.ts';
import { several } from './several.ts';

type Row = { readonly Host: string; readonly ID: string; readonly Name: string; readonly Image: string; readonly State: string; readonly Created: string; readonly KeepsOut: string };
const columns: readonly Column<Row>[] = [
  { title: 'Host', value: (row) => row.Host }, { title: 'ID', value: (row) => row.ID.slice(0, 12) }, { title: 'Name', value: (row) => row.Name }, { title: 'Image', value: (row) => row.Image },
  { title: 'State', value: (row) => row.State }, { title: 'Created', value: (row) => row.Created }, { title: 'Cannot be adopted', value: (row) => row.KeepsOut },
];

const path = (host: string, rest = ''): string => `/cluster/hosts/${encodeURIComponent(host)}/unknown${rest}`;

async function unknownOn(client: EngineClient, host: string): Promise<UnknownContainers['containers']> {
  return (await client.json<UnknownContainers>('GET', path(host))).containers;
}

/** Of one host, or of all that tell of any. */
export async function unknown(context: Context, host: string | undefined, flags: { readonly format?: string; readonly quiet?: boolean }): Promise<number> {
  const client = await context.client();
  const asked = host === undefined ? (await client.json<ClusterHosts>('GET', '/cluster/hosts')).hosts.filter(({ facts }) => facts.unknown !== undefined).map(({ id }) => id) : [host];
  const found: (UnknownContainers['containers'][number] & { readonly host: string })[] = [];
  for (const id of asked) for (const container of await unknownOn(client, id)) found.push({ host: id, ...container });
  if (flags.quiet === true) process.stdout.write(found.map(({ id }) => `${id}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(found.map((container) => `${JSON.stringify(container)}\n`).join(''));
  else process.stdout.write(render(flags.format, columns, found.map((container): Row => ({
    Host: container.host, ID: container.id, Name: container.name ?? '', Image: container.image ?? '', State: container.state, KeepsOut: container.keepsOut ?? '',
    Created: container.createdAtMs === null ? '' : humanAgo(Date.now() - container.createdAtMs),
  }))));
  return 0;
}

export async function decide(context: Context, host: string, ids: readonly string[], what: 'adopt' | 'remove', flags: { readonly all?: boolean }): Promise<number> {
  if ((flags.all === true) === ids.length > 0) throw new UsageError('name containers by their ids, or all with --all');
  const client = await context.client();
  const chosen = flags.all === true ? (await unknownOn(client, host)).map(({ id }) => id) : ids;
  return await several(chosen, async (id) => {
    if (what === 'adopt') await client.json('POST', path(host, `/${encodeURIComponent(id)}/adopt`));
    else await client.json('DELETE', path(host, `/${encodeURIComponent(id)}`));
    return id;
  });
}
