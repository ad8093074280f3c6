// The X-Registry-Auth header: base64 of JSON with credentials for the registry that is pulled from. Logs none of it.
import type { RegistryAuth } from '@pouch/contracts';
import { badField } from '../errors.ts';

const field = 'X-Registry-Auth';
const maxChars = 16_384;

/** Null for no credentials (also `{}` and an empty header, which clients send). 400 for what cannot be read. */
export function readRegistryAuth(header: string | string[] | undefined): RegistryAuth | null {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  if (text === '') return null;
  if (text.length > maxChars) throw badField(field, `it must not be longer than ${maxChars} characters`);
  const value = decoded(text);
  if (value === null) return null;
  const { username, password, auth, identitytoken, registrytoken } = value;
  for (const [name, member] of Object.entries({ username, password, auth, identitytoken, registrytoken })) {
    if (member !== undefined && member !== null && typeof member !== 'string') throw badField(`${field}.${name}`, 'it must be a text');
  }
  if (typeof registrytoken === 'string' && registrytoken !== '') throw badField(`${field}.registrytoken`, 'ready-made tokens are not taken: give user and password, or an identitytoken');
  const pair = typeof auth === 'string' && auth !== '' && !username ? userAndPassword(auth) : { username: textOf(username), password: textOf(password) };
  const read = { ...pair, identityToken: textOf(identitytoken) };
  return read.username === '' && read.password === '' && read.identityToken === '' ? null : read;
}

function decoded(text: string): Record<string, unknown> | null {
  // Both alphabets, with and without padding, are about.
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) throw badField(field, 'it is not base64');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64url')));
  } catch {
    throw badField(field, 'it is not the base64 of a JSON object'); // the parser's words may quote a secret
  }
  if (value === null) return null;
  if (typeof value !== 'object' || Array.isArray(value)) throw badField(field, 'it is not the base64 of a JSON object');
  return value as Record<string, unknown>;
}

function userAndPassword(auth: string): { username: string; password: string } {
  const text = Buffer.from(auth, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 0) throw badField(`${field}.auth`, 'it is not the base64 of user:password');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
