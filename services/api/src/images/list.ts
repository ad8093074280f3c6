// GET /images/json: the hosts' images grouped by id, and Docker's filters on them.
import { familiarReference, type DockerImageItem } from '@pouch/contracts';
import type { Image } from '@pouch/domain';
import { badField, HttpError } from '../errors.ts';
import { parseInstant } from '../events/time.ts';
import { labelsMatch, parseFilters } from '../http/filters.ts';
import type { Projection } from '../projection/projection.ts';
import { globOf } from './glob.ts';
import { isUnnamed, namesOf, repositoryOf, requireImage } from './resolve.ts';

const known = ['before', 'dangling', 'label', 'reference', 'since', 'until'];

/** Newest first. `emptyNames`: how an image without names is told; before API 1.43 clients know it by `<none>`. */
export function listImages(projection: Projection, filterText: string | undefined, { nowMs, emptyNames }: { readonly nowMs: number; readonly emptyNames: 'empty' | '<none>' }): DockerImageItem[] {
  const filters = parseFilters(filterText, known);
  const dangling = readFlag('filters.dangling', filters.get('dangling'));
  const labels = filters.get('label') ?? [];
  const createdOf = (name: string): number => requireImage(projection, name).names[0]?.record.createdAtMs ?? 0;
  const before = [...(filters.get('before') ?? []).map(createdOf), ...readUntil(filters.get('until'), nowMs)];
  const since = (filters.get('since') ?? []).map(createdOf);
  const patterns = filters.get('reference')?.map((text) => globOf('filters.reference', text));

  const groups = Map.groupBy(projection.present.images().map(({ state }) => state), ({ record }) => record.id);
  const items: { item: DockerImageItem; createdAtMs: number }[] = [];
  for (const [id, all] of groups) {
    const { record } = all[0] as Image;
    const unnamed = all.every(isUnnamed);
    if (dangling !== null && dangling !== unnamed) continue;
    if (!labelsMatch(record.config.labels, labels)) continue;
    if (before.some((ms) => record.createdAtMs >= ms) || since.some((ms) => record.createdAtMs <= ms)) continue;
    const images = patterns === undefined ? all : all.filter((image) => !isUnnamed(image) && patterns.some((pattern) => matches(pattern, image.name)));
    if (images.length === 0) continue;
    items.push({ createdAtMs: record.createdAtMs, item: itemOf(projection, id, images, emptyNames) });
  }
  return items.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.item.Id < b.item.Id ? -1 : 1)).map(({ item }) => item);
}

function itemOf(projection: Projection, id: string, images: readonly Image[], emptyNames: 'empty' | '<none>'): DockerImageItem {
  const { record } = images[0] as Image;
  const { tags, digests } = namesOf(images);
  const none = tags.length === 0 && digests.length === 0 && emptyNames === '<none>';
  return {
    Id: id, ParentId: '', RepoTags: none ? ['<none>:<none>'] : tags, RepoDigests: none ? ['<none>@<none>'] : digests,
    Created: Math.floor(record.createdAtMs / 1000), Size: record.sizeBytes, SharedSize: -1, VirtualSize: record.sizeBytes,
    Labels: record.config.labels, Containers: projection.present.containersOfImage(id).length,
  };
}

/** As Docker: with or without the tag, in the short form; here in the long one, too. */
function matches(pattern: (text: string) => boolean, name: string): boolean {
  const repository = repositoryOf(name);
  return [name, repository, familiarReference(name), familiarReference(repository)].some(pattern);
}

/** Docker's booleans of filters; null: not asked for. Contradictions are refused. */
export function readFlag(field: string, values: readonly string[] | undefined): boolean | null {
  if (values === undefined || values.length === 0) return null;
  const read = new Set(values.map((text) => {
    if (['1', 'true', 't', 'True', 'TRUE', 'T'].includes(text)) return true;
    if (['0', 'false', 'f', 'False', 'FALSE', 'F'].includes(text)) return false;
    throw badField(field, `${JSON.stringify(text.slice(0, 40))} is neither true nor false`);
  }));
  if (read.size > 1) throw new HttpError(400, `${field}: it is asked to be true and false`);
  return [...read][0] ?? null;
}

/** Ms since 1970 of every `until`. */
export function readUntil(values: readonly string[] | undefined, nowMs: number): number[] {
  return (values ?? []).map((text) => {
    const ms = parseInstant(text, nowMs);
    if (ms === null) throw badField('filters.until', `${JSON.stringify(text.slice(0, 64))} is no time: give RFC 3339, unix seconds, or a duration such as 24h`);
    return ms;
  });
}
