// Identifiers: branded strings, each with one constructor that checks its form. Makes none: randomness belongs to the edge.

declare const brand: unique symbol;
type Branded<T extends string> = string & { readonly [brand]: T };

/** 64 lower-case hex digits. */
export type ContainerId = Branded<'ContainerId'>;
/** 64 lower-case hex digits. */
export type ExecId = Branded<'ExecId'>;
/** 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit: it is a token of NATS subjects. */
export type HostId = Branded<'HostId'>;
/** `sha256:` and 64 hex digits: the digest of an image's configuration, as Docker identifies images. */
export type ImageId = Branded<'ImageId'>;
/** 32 lower-case hex digits: the first half of the sha256 of an image's name; made at the edge. */
export type ImageKey = Branded<'ImageKey'>;

/** A kernel's name as a token of NATS subjects: dots, which would part it, are written as `~`. */
export type KernelId = Branded<'KernelId'>;

export class InvalidIdError extends Error {
  readonly code = 'invalid-id';
}

function checked<T extends string>(what: string, pattern: RegExp, form: string, text: string): Branded<T> {
  if (!pattern.test(text)) throw new InvalidIdError(`${JSON.stringify(text.slice(0, 80))} is not ${what}: it must be ${form}`);
  return text as Branded<T>;
}

export const containerId = (text: string): ContainerId => checked('a container id', /^[0-9a-f]{64}$/, '64 lower-case hex digits', text);
export const execId = (text: string): ExecId => checked('an exec id', /^[0-9a-f]{64}$/, '64 lower-case hex digits', text);
export const hostId = (text: string): HostId => checked('a host id', /^[a-z0-9][a-z0-9-]{0,62}$/, '1 to 63 of a-z, 0-9 and -', text);
export const imageId = (text: string): ImageId => checked('an image id', /^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hex digits', text);
export const imageKey = (text: string): ImageKey => checked('an image key', /^[0-9a-f]{32}$/, '32 lower-case hex digits', text);

/** 1 to 63 of `a-z 0-9 . _ -`, beginning with a letter or digit: it is a directory's name on hosts. */
export function isKernelName(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/.test(text);
}

export function kernelId(name: string): KernelId {
  if (!isKernelName(name)) throw new InvalidIdError(`${JSON.stringify(name.slice(0, 80))} is not a kernel's name: it must be 1 to 63 of a-z, 0-9, dots, - and _, beginning with a letter or digit`);
  return name.replaceAll('.', '~') as KernelId;
}

/** Docker's rule for container names (`[a-zA-Z0-9][a-zA-Z0-9_.-]+`), with a bound of 255 that Docker leaves to its files. */
export function isContainerName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/.test(text);
}
