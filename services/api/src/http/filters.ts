// Docker's `filters` query parameter, in both of its spellings: {"status":["running"]} and {"status":{"running":true}}.
import { HttpError, badField } from '../errors.ts';
import { sound } from './query.ts';

export type Filters = ReadonlyMap<string, readonly string[]>;

const maxValues = 1_000;

/** Parses filters; names outside `known` are refused, as Docker does. */
export function parseFilters(text: string | undefined, known: readonly string[]): Filters {
  const filters = new Map<string, readonly string[]>();
  if (text === undefined || text === '') return filters;
  const parsed = parse(text);
  for (const [name, given] of Object.entries(parsed)) {
    if (!known.includes(name)) throw new HttpError(400, `invalid filter '${name.slice(0, 80)}': filters here are ${known.join(', ')}`);
    const values = valuesOf(given);
    if (values === null || values.length > maxValues) throw badField(`filters.${name}`, 'it must be a list of texts, or an object whose members are true');
    filters.set(name, values.map((value) => sound(`filters.${name}`, value)));
  }
  return filters;
}

function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    throw new HttpError(400, 'filters: it is not valid JSON', { cause: error });
  }
  throw badField('filters', 'it must be a JSON object');
}

function valuesOf(given: unknown): readonly string[] | null {
  if (Array.isArray(given)) return given.every((value) => typeof value === 'string') ? given : null;
  if (typeof given !== 'object' || given === null) return null;
  const entries = Object.entries(given);
  return entries.every(([, value]) => typeof value === 'boolean') ? entries.filter(([, value]) => value === true).map(([name]) => name) : null;
}

/** The value of a filter that is true or false. */
export function truth(name: string, value: string): boolean {
  if (!['0', '1', 'true', 'false'].includes(value)) throw badField(`filters.${name}`, 'it must be true or false');
  return value === '1' || value === 'true';
}

/** Docker's rule for labels: `key` for one that is there, `key=value` for its value. All must hold. */
export function labelsMatch(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((want) => {
    const equals = want.indexOf('=');
    if (equals < 0) return Object.hasOwn(labels, want);
    const key = want.slice(0, equals);
    return Object.hasOwn(labels, key) && labels[key] === want.slice(equals + 1);
  });
}
