// Which image a reference means, as the projection knows the hosts' images: by name, digest, id or beginning of an id.
import { canonicalReference, familiarReference, parseReference } from '@pouch/contracts';
import type { Image } from '@pouch/domain';
import { HttpError } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';

/** An image with all its names on all hosts. */
export interface FoundImage {
  readonly id: string;
  /** Of the image, on every host; never empty. Newest arrival first. */
  readonly names: readonly Image[];
  /** The canonical name that was asked for; null: it was found by its id or digest. */
  readonly askedName: string | null;
}

export const noSuchImage = (text: string): HttpError => new HttpError(404, `No such image: ${shown(text)}`);

/** Null where no host has it. 400 for what can be no image, and for the beginning of more than one id. */
export function resolveImage({ present }: Projection, text: string): FoundImage | null {
  const whole = (image: Image | undefined, askedName: string | null): FoundImage | null =>
    image === undefined ? null : { id: image.record.id, names: newestFirst(present.imagesById(image.record.id).map(({ state }) => state)), askedName };
  const parsed = parseReference(text);
  if (parsed !== null) {
    const repository = `${parsed.domain}/${parsed.path}`;
    const name = parsed.digest === null ? canonicalReference(parsed) : `${repository}@${parsed.digest}`;
    // Hosts may have different images under a name: the newest arrival is what the name means.
    const [named] = newestFirst(present.imagesByName(name).map(({ state }) => state));
    if (named !== undefined) return whole(named, name);
    if (parsed.digest !== null) {
      const byDigest = present.images().map(({ state }) => state).find((image) => image.record.manifestDigest === parsed.digest && repositoryOf(image.name) === repository);
      return whole(byDigest, null);
    }
  }
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text)?.[1];
  if (hex !== undefined) {
    const found = present.imagesById(hex).map(({ state }) => state);
    if (new Set(found.map((image) => image.record.id)).size > 1) throw new HttpError(400, `${text}: ambiguous: it is the beginning of more than one image's id`);
    const [first] = found;
    if (first !== undefined) return whole(first, null);
    if (hex.length === 64) return whole(present.images().map(({ state }) => state).find((image) => image.record.manifestDigest === `sha256:${hex}`), null);
    return null;
  }
  if (parsed === null) throw new HttpError(400, `name: invalid reference format: ${JSON.stringify(text.slice(0, 120))}`);
  return null;
}

/** 404 in Docker's words where no host has it. */
export function requireImage(projection: Projection, text: string): FoundImage {
  const found = resolveImage(projection, text);
  if (found === null) throw noSuchImage(text);
  return found;
}

export const isUnnamed = (image: Image): boolean => image.name.startsWith('sha256:');

/** `docker.io/library/busybox` of `docker.io/library/busybox:latest`. */
export function repositoryOf(canonical: string): string {
  const named = canonical.split('@')[0] ?? '';
  const colon = named.lastIndexOf(':');
  return colon > named.lastIndexOf('/') ? named.slice(0, colon) : named;
}

/** Familiar names with tags, and `name@digest` of every repository; sorted, each once. */
export function namesOf(images: readonly Image[]): { tags: string[]; digests: string[] } {
  const named = images.filter((image) => !isUnnamed(image));
  const tags = named.filter(({ name }) => !name.includes('@')).map(({ name }) => familiarReference(name));
  const digests = named.map(({ name, record }) => `${familiarReference(repositoryOf(name))}@${record.manifestDigest}`);
  return { tags: [...new Set(tags)].sort(), digests: [...new Set(digests)].sort() };
}

const newestFirst = (images: readonly Image[]): Image[] => images.toSorted((a, b) => b.sinceMs - a.sinceMs);

function shown(text: string): string {
  const parsed = parseReference(text);
  return parsed === null ? text.slice(0, 200) : familiarReference(canonicalReference(parsed));
}
