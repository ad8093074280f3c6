// JSON bodies as Docker's clients send them: with any Content-Type or none, and with null for "not given". Refuses what is no JSON, is
// not UTF-8, is nested absurdly or holds NUL characters, naming the field. Knows no endpoint.
import { HttpError, badField } from '../errors.ts';

/** Bodies larger than this are refused; a create with a seccomp profile is some tens of kB. */
export const bodyLimitBytes = 4 * 1024 * 1024;
const maxDepth = 32;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Parses a JSON body; an empty one is null. Members that are null are taken out. */
export function parseBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return null;
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (error) {
    throw new HttpError(400, 'the body is not valid UTF-8', { cause: error });
  }
  if (text.trim() === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, `the body is not valid JSON: ${reason(error)}`, { cause: error });
  }
  return withoutNulls(value, '', 0);
}

/** The parser's complaint without the excerpt of the body that it carries, which may hold secrets. */
function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/,? ?"[^]*$/, '').trim() || 'unexpected text' : 'unexpected text';
}

function withoutNulls(value: unknown, path: string, depth: number): unknown {
  if (typeof value === 'string') {
    soundText(value, path);
    return value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= maxDepth) throw badField(path, `it is nested more than ${maxDepth} levels deep`);
  if (Array.isArray(value)) return value.map((item, index) => withoutNulls(item, `${path}[${index}]`, depth + 1));
  const kept: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    const at = path === '' ? key : `${path}.${key}`;
    if (key === '__proto__') throw badField('the body', 'a member must not be named __proto__');
    soundText(key, at);
    if (member !== null) kept[key] = withoutNulls(member, at, depth + 1);
  }
  return kept;
}

function soundText(text: string, path: string): void {
  if (text.includes('\0')) throw badField(printable(path), 'it holds a NUL character');
  if (!text.isWellFormed()) throw badField(printable(path), 'it is not valid Unicode: a surrogate stands alone');
}

const printable = (path: string) => (path === '' ? 'the body' : path.toWellFormed().replaceAll('\0', '\\0').slice(0, 200));
