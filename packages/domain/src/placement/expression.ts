// Expressions of placement as classic Swarm wrote them: `key==value`, `key!=~/expression/`. Read and matched here; what a key stands for is
// the filters' business. Patterns come from strangers, so only those are taken whose matching is bounded.

export interface Expression {
  /** As it was written, e.g. `node.rack==~r*`. */
  readonly text: string;
  readonly key: string;
  /** `!=`: no match is wanted. */
  readonly negated: boolean;
  /** `~`: a preference; a host that does not satisfy it can still be chosen. */
  readonly soft: boolean;
  readonly pattern: Pattern;
}

/** `glob`: plain text in which `*` stands for anything. `regex`: between slashes, found anywhere in the text. */
export type Pattern = { readonly kind: 'glob'; readonly text: string } | { readonly kind: 'regex'; readonly source: string; readonly ignoreCase: boolean };

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

const maxExpressionLength = 256;
/** With the bound on texts this keeps the worst expression to some milliseconds. */
const maxRepetitions = 2;
const maxSubjectLength = 128;

const form = 'it must be key==value or key!=value, with ~ behind the operator for a preference, e.g. rack==r1, zone!=~b*, image==/^redis/';
const operator = /^([A-Za-z_][\w.\-/]*)(==|!=)(~?)(.*)$/s;

/** Reads one expression; `problem` says what would be right. */
export function parseExpression(text: string): Parsed<Expression> {
  const shown = JSON.stringify(text.slice(0, 80));
  if (text.length > maxExpressionLength) return { ok: false, problem: `${shown}… is longer than ${maxExpressionLength} characters` };
  const [, key, sign, soft, value] = operator.exec(text) ?? [];
  if (key === undefined || value === undefined) return { ok: false, problem: `${shown} is not an expression: ${form}` };
  if (value === '') return { ok: false, problem: `${shown} has no value: ${form}` };
  const pattern = parsePattern(value);
  return pattern.ok ? { ok: true, value: { text, key, negated: sign === '!=', soft: soft === '~', pattern: pattern.value } } : { ok: false, problem: `${shown}: ${pattern.problem}` };
}

function parsePattern(value: string): Parsed<Pattern> {
  if (value.length < 2 || !value.startsWith('/') || !value.endsWith('/')) return { ok: true, value: { kind: 'glob', text: value } };
  const inner = value.slice(1, -1);
  const ignoreCase = inner.startsWith('(?i)');
  const source = ignoreCase ? inner.slice(4) : inner;
  // Classes and escapes hold no operators.
  const bare = source.replaceAll(/\\[^1-9k]/g, 'x').replaceAll(/\[[^\]]*\]/g, 'x');
  if (/\\[1-9k]|\(\?[=!<]/.test(bare)) return { ok: false, problem: 'back references and look-around are not taken' };
  if (/\)[*+{]/.test(bare)) return { ok: false, problem: 'a repetition of a group is not taken' };
  if ((bare.match(/[*+]|\{\d*,\d*\}/g) ?? []).length > maxRepetitions) return { ok: false, problem: `more than ${maxRepetitions} repetitions are not taken` };
  try {
    new RegExp(source);
  } catch {
    return { ok: false, problem: `${JSON.stringify(inner.slice(0, 80))} is not a regular expression` }; // the engine's words name no column
  }
  return { ok: true, value: { kind: 'regex', source, ignoreCase } };
}

/** Makes the test that a pattern stands for. */
export function compilePattern(pattern: Pattern): (text: string) => boolean {
  if (pattern.kind === 'regex') {
    const regex = new RegExp(pattern.source, pattern.ignoreCase ? 'i' : '');
    return (text) => regex.test(text.slice(0, maxSubjectLength));
  }
  if (!pattern.text.includes('*')) return (text) => text === pattern.text;
  const parts = pattern.text.split('*');
  return (text) => matchesGlob(text, parts);
}

/** `parts`: what stands between the asterisks, at least two. */
function matchesGlob(text: string, parts: readonly string[]): boolean {
  const first = parts[0] as string;
  const last = parts[parts.length - 1] as string;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
