// The image that a container is to be made from, as the projection knows the hosts' images.
import { canonicalReference, familiarReference, parseReference } from '@pouch/contracts';
import type { Image, ImageDefaults, ImagePin } from '@pouch/domain';
import type { PresentReader } from '@pouch/projections';
import { badField, HttpError } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';

export interface FoundImage {
  readonly pin: ImagePin;
  readonly defaults: ImageDefaults;
  readonly platform: Image['record']['platform'];
}

/** By name, `name@digest`, id, or beginning of an id. 404 in Docker's words where no host has it. */
export function findImage(projection: Projection, reference: string): FoundImage {
  const found = projection.remembered('image', reference, (present) => newest(present, reference));
  if (found === null) throw new HttpError(404, `No such image: ${shown(reference)}`);
  const { name, image } = found;
  const { record } = image;
  return {
    pin: { reference, name: name ?? (image.name.startsWith('sha256:') ? null : image.name), id: record.id, manifestDigest: record.manifestDigest },
    defaults: record.config,
    platform: record.platform,
  };
}

/** Hosts may have different ones under a name: the newest arrival is what the name means. `name` is null where it was not asked for by name. */
function newest(present: PresentReader, text: string): { name: string | null; image: Image } | null {
  const byId = /^(?:sha256:)?([0-9a-f]{6,64})$/.exec(text);
  const parsed = parseReference(text);
  if (parsed !== null) {
    const { digest } = parsed;
    const name = canonicalReference({ ...parsed, digest: null });
    const named = present.newestImageByName(digest === null ? name : canonicalReference(parsed))?.state;
    if (named !== undefined) return { name: named.name, image: named };
    if (digest !== null) {
      const tagged = parsed.tag === null ? present.images().filter(({ state }) => state.name.startsWith(`${parsed.domain}/${parsed.path}:`)) : present.imagesByName(name);
      const [same] = tagged.filter(({ state }) => state.record.manifestDigest === digest).toSorted((a, b) => b.seq - a.seq);
      return same === undefined ? null : { name: same.state.name, image: same.state };
    }
  }
  if (byId !== null) {
    const image = present.newestImageById(byId[1] ?? '');
    if (image === 'ambiguous') throw new HttpError(400, `Image: ${text} is the beginning of more than one image's id`);
    return image === null ? null : { name: null, image: image.state };
  }
  if (parsed === null) throw badField('Image', `invalid reference format: ${JSON.stringify(text.slice(0, 120))}`);
  return null;
}

function shown(text: string): string {
  const parsed = parseReference(text);
  return parsed === null ? text.slice(0, 200) : familiarReference(canonicalReference(parsed));
}

/** `os[/arch[/variant]]` against what the image is for; Docker answers as if the image was not there, so that the client pulls the right one. */
export function requirePlatform({ platform, pin }: FoundImage, wanted: string): void {
  const [os = '', architecture = platform.architecture, variant = platform.variant] = wanted.toLowerCase().split('/');
  const aliases: Readonly<Record<string, string>> = { 'x86_64': 'amd64', 'x86-64': 'amd64', aarch64: 'arm64' };
  if (os === platform.os && (aliases[architecture] ?? architecture) === platform.architecture && (variant === platform.variant || platform.variant === null)) return;
  throw new HttpError(404, `image with reference ${pin.reference} was found but does not match the specified platform: wanted ${wanted.slice(0, 80)}, actual: ${platform.os}/${platform.architecture}`);
}
