// Image references as Docker reads them (distribution's reference grammar, with Docker's short forms). Pure.
import { ImageError } from './image-error.ts';

/** A reference in full. `name` is domain and path; `canonical` is the name of the image record in containerd. */
export type Reference = {
  /** Registry, e.g. `docker.io` or `localhost:5000`. */
  domain: string;
  /** Repository within the registry, e.g. `library/busybox`. */
  path: string;
  /** `domain/path`. */
  name: string;
  /** null only where a digest is given without a tag. */
  tag: string | null;
  digest: string | null;
  /** `name:tag`, or `name@digest` where a digest is given (the tag then says nothing). */
  canonical: string;
};

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL_PREFIX = 'library/';
const MAX_NAME_LENGTH = 255;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const DOMAIN = /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** True for `sha256:` and 64 lower-case hex digits, the only algorithm that registries use. */
export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && DIGEST.test(text);
}

/** Reads what a person wrote: `busybox`, `user/app:1`, `localhost:5000/app@sha256:…`. Throws ImageError `invalid-reference`. */
export function parseReference(text: string): Reference {
  const refuse = (why: string): never => { throw new ImageError('invalid-reference', `invalid reference format: ${JSON.stringify(text.slice(0, 300))}: ${why}`); };
  if (text.length === 0) refuse('it is empty');
  if (text.length > 2 * MAX_NAME_LENGTH) refuse('it is too long');
  if (/^[0-9a-f]{64}$/.test(text)) refuse('64 hexadecimal digits are an image id, not a name');

  let rest = text;
  let digest: string | null = null;
  const at = rest.indexOf('@');
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!isDigest(digest)) refuse('the digest must be sha256: and 64 hexadecimal digits');
  }
  let tag: string | null = null;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) refuse('the tag must be 1 to 128 letters, digits, underscores, dots and dashes, and not begin with a dot or dash');
  }
  let domain = DEFAULT_DOMAIN;
  let path = rest;
  const slash = rest.indexOf('/');
  const first = rest.slice(0, Math.max(slash, 0));
  if (slash > 0 && (first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase())) {
    domain = first === 'index.docker.io' ? DEFAULT_DOMAIN : first;
    path = rest.slice(slash + 1);
  }
  if (!DOMAIN.test(domain)) refuse('the registry is not a host name with an optional port');
  if (path !== path.toLowerCase()) refuse('repository name must be lowercase');
  if (!PATH.test(path)) refuse('the repository name may only hold lower-case letters, digits and single separators');
  if (domain === DEFAULT_DOMAIN && !path.includes('/')) path = OFFICIAL_PREFIX + path;
  const name = `${domain}/${path}`;
  if (name.length > MAX_NAME_LENGTH) refuse(`repository name must not be more than ${MAX_NAME_LENGTH} characters`);
  if (tag === null && digest === null) tag = 'latest';
  return { domain, path, name, tag, digest, canonical: digest === null ? `${name}:${tag}` : `${name}@${digest}` };
}

/** The short form that people see: `busybox:latest` for `docker.io/library/busybox:latest`. Gives a text that is no reference back unchanged. */
export function familiarName(reference: Reference | string): string {
  let full: string;
  if (typeof reference === 'string') {
    full = reference;
  } else {
    full = reference.canonical;
  }
  const official = `${DEFAULT_DOMAIN}/${OFFICIAL_PREFIX}`;
  if (full.startsWith(official) && !full.slice(official.length).includes('/')) return full.slice(official.length);
  return full.startsWith(`${DEFAULT_DOMAIN}/`) ? full.slice(DEFAULT_DOMAIN.length + 1) : full;
}
