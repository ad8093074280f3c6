// The commands about images: images, tag, rmi, history.
import type { Context } from '../context.ts';
import { segment } from '../engine/client.ts';
import type { HistoryItem, ImageItem } from '../engine/shapes.ts';
import { render, type Column } from '../format/output.ts';
import { humanAgo, humanSize } from '../format/sizes.ts';
import { shortened } from '../format/table.ts';
import { goTime } from '../format/times.ts';
import { filtersParameter, toFilters } from './filters.ts';
import { splitReference } from './pull.ts';
import { several } from './several.ts';

type ImageRow = { readonly ID: string; readonly Repository: string; readonly Tag: string; readonly Digest: string; readonly CreatedAt: string; readonly CreatedSince: string; readonly Size: string; readonly Bytes: number };

export interface ImagesFlags {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
  readonly trunc?: boolean;
  readonly digests?: boolean;
  readonly format?: string;
}

const shortId = (id: string, truncate: boolean) => (truncate ? id.replace(/^sha256:/, '').slice(0, 12) : id);

export async function images(context: Context, reference: string | undefined, flags: ImagesFlags): Promise<number> {
  const filters = toFilters([...(flags.filter ?? []), ...(reference === undefined ? [] : [`reference=${reference}`])]);
  const client = await context.client();
  const items = await client.json<ImageItem[]>('GET', '/images/json', { query: { all: flags.all === true ? 1 : undefined, digests: flags.digests === true ? 1 : undefined, filters: filtersParameter(filters) } });
  const truncate = flags.trunc !== false;
  const now = Date.now();
  if (flags.quiet === true) {
    process.stdout.write([...new Set(items.map((item) => shortId(item.Id, truncate)))].map((id) => `${id}\n`).join(''));
    return 0;
  }
  const columns: Column<ImageRow>[] = [
    { title: 'Repository', value: (row) => row.Repository },
    { title: 'Tag', value: (row) => row.Tag },
    ...(flags.digests === true ? [{ title: 'Digest', value: (row: ImageRow) => row.Digest }] : []),
    { title: 'ID', value: (row) => shortId(row.ID, truncate) },
    { title: 'Created', value: (row) => row.CreatedSince },
    { title: 'Size', value: (row) => row.Size },
  ];
  process.stdout.write(render(flags.format, columns, items.flatMap((item) => imageRows(item, now))));
  return 0;
}

/** One row a name, or one with `<none>` for an image without. */
function imageRows(item: ImageItem, nowMs: number): ImageRow[] {
  const digest = item.RepoDigests?.[0]?.split('@')[1] ?? '<none>';
  const names = (item.RepoTags ?? []).filter((name) => name !== '<none>:<none>').map(splitReference);
  const common = { ID: item.Id, Digest: digest, CreatedAt: goTime(item.Created * 1000), CreatedSince: humanAgo(nowMs - item.Created * 1000), Size: humanSize(item.Size), Bytes: item.Size };
  const fallback = { name: item.RepoDigests?.[0]?.split('@')[0] ?? '<none>', tag: '<none>' };
  return (names.length === 0 ? [fallback] : names).map(({ name, tag }) => ({ ...common, Repository: name, Tag: tag }));
}

export async function tag(context: Context, source: string, target: string): Promise<number> {
  const { name, tag: newTag } = splitReference(target);
  const client = await context.client();
  await client.json('POST', `/images/${segment(source)}/tag`, { query: { repo: name, tag: newTag } });
  return 0;
}

export async function rmi(context: Context, names: readonly string[], flags: { readonly force?: boolean; readonly prune?: boolean }): Promise<number> {
  const client = await context.client();
  return several(names, async (name) => {
    const done = await client.json<{ Untagged?: string; Deleted?: string }[]>('DELETE', `/images/${segment(name)}`, { query: { force: flags.force === true ? 1 : undefined, noprune: flags.prune === false ? 1 : undefined } });
    const lines = done.map(({ Untagged, Deleted }) => (Untagged === undefined ? `Deleted: ${Deleted ?? ''}` : `Untagged: ${Untagged}`));
    return lines.length === 0 ? null : lines.join('\n');
  });
}

type HistoryRow = { readonly ID: string; readonly CreatedAt: string; readonly CreatedSince: string; readonly CreatedBy: string; readonly Size: string; readonly Comment: string };

export async function history(context: Context, name: string, flags: { readonly trunc?: boolean; readonly quiet?: boolean; readonly format?: string }): Promise<number> {
  const client = await context.client();
  const items = await client.json<HistoryItem[]>('GET', `/images/${segment(name)}/history`);
  const truncate = flags.trunc !== false;
  const now = Date.now();
  const id = (text: string) => (text === '<missing>' ? text : shortId(text, truncate));
  if (flags.quiet === true) {
    process.stdout.write(items.map((item) => `${id(item.Id)}\n`).join(''));
    return 0;
  }
  const columns: Column<HistoryRow>[] = [
    { title: 'Image', value: (row) => id(row.ID) },
    { title: 'Created', value: (row) => row.CreatedSince },
    { title: 'Created by', value: (row) => (truncate ? shortened(row.CreatedBy.replaceAll(/\s+/g, ' '), 45) : row.CreatedBy) },
    { title: 'Size', value: (row) => row.Size },
    { title: 'Comment', value: (row) => row.Comment },
  ];
  const rows = items.map((item) => ({ ID: item.Id, CreatedAt: goTime(item.Created * 1000), CreatedSince: humanAgo(now - item.Created * 1000), CreatedBy: item.CreatedBy, Size: humanSize(item.Size), Comment: item.Comment ?? '' }));
  process.stdout.write(render(flags.format, columns, rows));
  return 0;
}
