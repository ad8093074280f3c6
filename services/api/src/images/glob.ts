// Patterns of Docker's `reference` filter: `*` and `?` within a path segment, `[a-z]`, `[^a-z]`, `\x`. Pure. Not by regular expressions:
// with several stars these take time that whoever writes the pattern chooses; here it is at most pattern times text.
import { badField } from '../errors.ts';

const maxChars = 512;

/** `star` matches any run without a slash; the others match one character. */
type Token = 'star' | ((char: string) => boolean);

/** Compiles a pattern; 400 for one that is none. */
export function globOf(field: string, pattern: string): (text: string) => boolean {
  const tokens = pattern === '' || pattern.length > maxChars ? null : tokensOf(pattern);
  if (tokens === null) throw badField(field, `${JSON.stringify(pattern.slice(0, 80))} is not a valid pattern`);
  return (text) => matches(tokens, text);
}

function tokensOf(pattern: string): Token[] | null {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] as string;
    if (char === '*') tokens.push('star');
    else if (char === '?') tokens.push((one) => one !== '/');
    else if (char === '[') {
      const set = /^\[(\^?)((?:\\.|[^\\\]])+)\]/.exec(pattern.slice(at));
      const test = set === null ? null : setOf(set[2] ?? '', set[1] === '^');
      if (set === null || test === null) return null;
      tokens.push(test);
      at += set[0].length - 1;
    } else {
      const literal = char === '\\' ? pattern[++at] : char;
      if (literal === undefined) return null;
      tokens.push((one) => one === literal);
    }
  }
  return tokens;
}

/** Characters and ranges; null for a range that runs backwards or has no end. */
function setOf(text: string, negated: boolean): ((char: string) => boolean) | null {
  const ranges: [low: string, high: string][] = [];
  const chars = [...text.matchAll(/\\(.)|(.)/gs)].map(([whole, escaped]) => ({ char: escaped ?? whole, isDash: whole === '-' }));
  for (let at = 0; at < chars.length; at++) {
    const low = (chars[at] as { char: string }).char;
    if (chars[at + 1]?.isDash !== true) {
      ranges.push([low, low]);
      continue;
    }
    const high = chars[at + 2]?.char;
    if (high === undefined || high < low) return null;
    ranges.push([low, high]);
    at += 2;
  }
  return (char) => ranges.some(([low, high]) => low <= char && char <= high) !== negated;
}

/** Where it does not go on, the last star takes one character more: earlier ones need not be tried again. */
function matches(tokens: readonly Token[], text: string): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length || token < tokens.length) {
    const next = tokens[token];
    if (next === 'star') {
      star = token++;
      starAt = at;
    } else if (next !== undefined && at < text.length && next(text[at] as string)) {
      token++;
      at++;
    } else {
      if (star < 0 || starAt >= text.length || text[starAt] === '/') return false;
      token = star + 1;
      at = ++starAt;
    }
  }
  return true;
}
