// Query strings by their schema: text becomes booleans and whole numbers as Docker reads them, and what cannot be is refused by name.
// Knows no endpoint. A member that the schema does not have is passed over, as Docker does.
import type { TSchema } from 'typebox';
import { badField } from '../errors.ts';

type Member = (field: string, text: string) => string | number | boolean;

interface Shape {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly anyOf?: readonly Shape[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
}

/** Docker's booleans: these are false, everything else is true. */
const falseWords = new Set(['', '0', 'no', 'false', 'none']);

/** Compiles a reader for an object schema of strings, integers and booleans; members of other shapes are left as they came. */
export function queryReader(schema: TSchema): (query: unknown) => Record<string, unknown> {
  const { properties = {}, required = [] } = schema as Shape;
  const members = Object.entries(properties).map(([name, shape]) => ({ name, read: member(shape), repeats: repeats(shape) }));
  return (query) => {
    const given = query as Record<string, string | string[] | undefined>;
    const read: Record<string, unknown> = {};
    for (const { name, read: convert, repeats: many } of members) {
      const raw = given[name];
      if (raw === undefined) {
        if (required.includes(name)) throw badField(name, 'this query parameter is required');
        continue;
      }
      if (many) {
        read[name] = typeof raw === 'string' ? sound(name, raw) : raw.map((text) => sound(name, text));
        continue;
      }
      // Given several times, the first counts.
      read[name] = convert(name, sound(name, typeof raw === 'string' ? raw : (raw[0] ?? '')));
    }
    return read;
  };
}

const repeats = (shape: Shape): boolean => shape.type === 'array' || (shape.anyOf ?? []).some(repeats);

function member(shape: Shape): Member {
  if (shape.type === 'boolean') return (_field, text) => !falseWords.has(text.trim().toLowerCase());
  if (shape.type === 'integer' || shape.type === 'number') return (field, text) => whole(field, text, shape);
  const maxLength = shape.maxLength ?? 65_536;
  return (field, text) => {
    if (text.length > maxLength) throw badField(field, `it must not be longer than ${maxLength} characters`);
    return text;
  };
}

function whole(field: string, text: string, { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER }: Shape): number {
  const value = /^[+-]?\d{1,19}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= minimum && value <= maximum)) throw badField(field, `${JSON.stringify(text.slice(0, 40))} is not a whole number from ${minimum} to ${maximum}`);
  return value;
}

/** Text that can be handed on: no NUL, and it came from valid UTF-8. */
export function sound(field: string, text: string): string {
  if (text.includes('\0')) throw badField(field, 'it holds a NUL character');
  if (text.includes('\uFFFD') || !text.isWellFormed()) throw badField(field, 'it is not valid UTF-8');
  return text;
}
