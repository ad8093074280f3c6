// Patterns of Docker's `reference` filter: `*` and `?` within a path segment, `[a-z]`, `[^a-z]`, `\x`. Pure.
import { badField } from '../errors.ts';

const maxChars = 512;

/** Compiles a pattern; 400 for one that is none. Runs of `*` count as one, so that matching stays quick. */
export function globOf(field: string, pattern: string): RegExp {
  const bad = () => badField(field, `${JSON.stringify(pattern.slice(0, 80))} is not a valid pattern`);
  if (pattern === '' || pattern.length > maxChars || (pattern.match(/\*+/g) ?? []).length > 8) throw bad();
  let source = '';
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] as string;
    if (char === '*') source += source.endsWith('[^/]*') ? '' : '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const set = /^\[(\^?)((?:\\.|[^\\\]])+)\]/.exec(pattern.slice(at));
      if (set === null) throw bad();
      source += `[${set[1] ?? ''}${(set[2] ?? '').replaceAll('[', '\\[').replaceAll('^', '\\^')}]`;
      at += set[0].length - 1;
    } else if (char === '\\') {
      at++;
      if (at >= pattern.length) throw bad();
      source += literal(pattern[at] as string);
    } else source += literal(char);
  }
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    throw bad(); // a range that runs backwards
  }
}

const literal = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|]/, '\\$&');
