// `-f key=value` into Docker's filters parameter, and the parts of it that the CLI must apply itself.
import { UsageError } from '../errors.ts';

export type Filters = Readonly<Record<string, readonly string[]>>;

export function toFilters(texts: readonly string[] | undefined): Filters {
  const filters: Record<string, string[]> = {};
  for (const text of texts ?? []) {
    const at = text.indexOf('=');
    if (at < 1) throw new UsageError(`-f ${text}: expected key=value, e.g. status=running`);
    (filters[text.slice(0, at).trim().toLowerCase()] ??= []).push(text.slice(at + 1));
  }
  return filters;
}

/** The query parameter; undefined where nothing is filtered. */
export const filtersParameter = (filters: Filters): string | undefined => (Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters));
