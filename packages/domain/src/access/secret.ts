// A secret that containers are given as a file: what it is called and where its sealed bytes are. The bytes, sealed or not, are never here.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';

/** Where the sealed bytes are: an object of the store, by its digest, and which cluster key opens it. */
export interface SealedPlace {
  /** `sha256:` and 64 hex digits, of the sealed bytes. */
  readonly digest: string;
  readonly keyId: string;
}

/** Docker's names, with a bound. */
export function isSecretName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(text);
}

/** The name as a token of NATS subjects: dots, which would part it, are written as `~`. */
export const secretId = (name: string): string => name.replaceAll('.', '~');

/** A container's label of this beginning and a secret's name gives it that secret; the value says how: `target=FILE,mode=0400`. */
export const secretLabel = 'io.pouch.secret.';

/** A secret as a container is given it: a file in /run/secrets. */
export interface SecretMount {
  readonly name: string;
  readonly generation: string;
  /** File's name. */
  readonly target: string;
  readonly uid: number;
  readonly gid: number;
  /** File mode bits. */
  readonly mode: number;
}

export interface Secret {
  /** Its name, dots as `~`. */
  readonly id: string;
  readonly name: string;
  readonly state: 'present' | 'removed';
  readonly labels: Readonly<Record<string, string>>;
  /** Tells this secret from a later one of the same name; sealed in with the bytes. */
  readonly generation: string;
  readonly sealed: SealedPlace;
  readonly createdAtMs: number;
  readonly sinceMs: number;
}

export type SecretEvent =
  | { readonly type: 'SecretCreated'; readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly generation: string; readonly sealed: SealedPlace; readonly atMs: number }
  /** The same bytes under another key. */
  | { readonly type: 'SecretSealedAgain'; readonly sealed: SealedPlace; readonly atMs: number }
  | { readonly type: 'SecretRemoved'; readonly atMs: number };

export type SecretCommand =
  | { readonly type: 'CreateSecret'; readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly generation: string; readonly sealed: SealedPlace }
  | { readonly type: 'SealSecretAgain'; readonly generation: string; readonly sealed: SealedPlace }
  /** `usedBy`: names of containers that are given it. */
  | { readonly type: 'RemoveSecret'; readonly usedBy: readonly string[] };

export function decideSecret(state: Secret | null, command: SecretCommand, nowMs: number): Decision<SecretEvent> {
  if (command.type === 'CreateSecret') {
    const { name, labels, generation, sealed } = command;
    if (state?.state === 'present') return refuse('already-exists', `there is a secret ${name} already; remove it first or give this one another name`);
    return accept({ type: 'SecretCreated', name, labels, generation, sealed, atMs: nowMs });
  }
  if (state === null || state.state === 'removed') return refuse('not-found', 'no such secret');
  switch (command.type) {
    case 'SealSecretAgain':
      if (command.generation !== state.generation) return refuse('stale', `secret ${state.name} is another one by now`);
      return command.sealed.digest === state.sealed.digest ? accept() : accept({ type: 'SecretSealedAgain', sealed: command.sealed, atMs: nowMs });
    case 'RemoveSecret': {
      const { usedBy } = command;
      if (usedBy.length === 0) return accept({ type: 'SecretRemoved', atMs: nowMs });
      return refuse('in-use', `secret ${state.name} is used by ${usedBy.slice(0, 10).join(', ')}${usedBy.length > 10 ? ` and ${usedBy.length - 10} more` : ''}; remove them first`);
    }
    default:
      return assertNever(command);
  }
}

export function evolveSecret(state: Secret | null, event: SecretEvent): Secret | null {
  if (event.type === 'SecretCreated') {
    const { name, labels, generation, sealed, atMs } = event;
    return { id: secretId(name), name, state: 'present', labels, generation, sealed, createdAtMs: atMs, sinceMs: atMs };
  }
  if (state === null) return null;
  switch (event.type) {
    case 'SecretSealedAgain':
      return { ...state, sealed: event.sealed };
    case 'SecretRemoved':
      return { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}
