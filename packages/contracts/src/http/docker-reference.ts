// Image references as people write them and as they are kept: `busybox` is `docker.io/library/busybox:latest`. Pure text; knows no images.

/** A reference taken apart and completed. `tag` is null where a digest is given without one. */
export interface ImageReference {
  /** `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** `library/busybox` */
  readonly path: string;
  readonly tag: string | null;
  /** `sha256:...` */
  readonly digest: string | null;
}

const domainForm = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const pathForm = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagForm = /^\w[\w.-]{0,127}$/;
const digestForm = /^sha256:[0-9a-f]{64}$/;

/** Takes a reference apart by the rules of Docker's `reference` grammar; null if it is none (upper case in the path, empty parts, a bad tag or digest). */
export function parseReference(text: string): ImageReference | null {
  if (text.length === 0 || text.length > 512 || /^[0-9a-f]{64}$/.test(text)) return null;
  const [named, digest, ...rest] = text.split('@') as [string, string | undefined, ...string[]];
  if (rest.length > 0 || (digest !== undefined && !digestForm.test(digest))) return null;
  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/');
  const name = tagged ? named.slice(0, colon) : named;
  const tag = tagged ? named.slice(colon + 1) : null;
  if (tag !== null && !tagForm.test(tag)) return null;
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasDomain = slash > 0 && (first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase());
  const domain = hasDomain && first !== 'index.docker.io' ? first : 'docker.io';
  const remainder = hasDomain ? name.slice(slash + 1) : name;
  const path = domain === 'docker.io' && !remainder.includes('/') ? `library/${remainder}` : remainder;
  if (!domainForm.test(domain) || path.length > 255 || !pathForm.test(path)) return null;
  return { domain, path, tag: tag ?? (digest === undefined ? 'latest' : null), digest: digest ?? null };
}

/** The one spelling under which an image's name is kept, e.g. `docker.io/library/busybox:latest`. */
export function canonicalReference({ domain, path, tag, digest }: ImageReference): string {
  return `${domain}/${path}${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;
}

/** The short spelling that Docker shows: without `docker.io/` and `library/`, the tag always there. */
export function familiarReference(canonical: string): string {
  return canonical.startsWith('docker.io/library/') ? canonical.slice(18) : canonical.startsWith('docker.io/') ? canonical.slice(10) : canonical;
}
