// A small part of Go's templates, enough for the `--format` that scripts use: `{{.Field}}`, `{{.A.B}}`, `{{json .A}}`, `{{index .A "key"}}`,
// `{{len .A}}`, `{{upper .A}}`, `{{lower .A}}`, `{{join .A ","}}`, and `| json` and the like behind them. Anything else is refused by name.
import { UsageError } from '../errors.ts';

export type Template = (value: unknown) => string;

type Word = { readonly kind: 'path'; readonly path: readonly string[] } | { readonly kind: 'text'; readonly text: string } | { readonly kind: 'name'; readonly name: string };

/** Compiles once, so that a mistake is told before anything is asked. `\t` and `\n` in the text are what they look like. */
export function toTemplate(source: string): Template {
  const parts: Template[] = [];
  let at = 0;
  for (const match of source.matchAll(/\{\{-?\s*(.*?)\s*-?\}\}/gs)) {
    parts.push(literal(source.slice(at, match.index)));
    parts.push(action(match[1] as string));
    at = match.index + match[0].length;
  }
  const rest = source.slice(at);
  if (rest.includes('{{')) throw new UsageError(`--format: {{ without }} in ${JSON.stringify(source)}`);
  parts.push(literal(rest));
  return (value) => parts.map((part) => part(value)).join('');
}

function literal(text: string): Template {
  const shown = text.replaceAll('\\t', '\t').replaceAll('\\n', '\n');
  return () => shown;
}

function action(text: string): Template {
  const stages = splitOutsideQuotes(text, '|').map((stage) => words(stage.trim(), text));
  return (value) => {
    let result: unknown;
    for (const [number, stage] of stages.entries()) result = evaluate(stage, value, number === 0 ? [] : [result], text);
    return goText(result);
  };
}

const functions: ReadonlyMap<string, (...args: unknown[]) => unknown> = new Map<string, (...args: unknown[]) => unknown>(Object.entries({
  json: (value) => JSON.stringify(value ?? null),
  len: (value) => (typeof value === 'string' || Array.isArray(value) ? value.length : Object.keys((value ?? {}) as object).length),
  upper: (value) => goText(value).toUpperCase(),
  lower: (value) => goText(value).toLowerCase(),
  join: (value, separator) => (Array.isArray(value) ? value.map(goText).join(goText(separator)) : goText(value)),
  index: (value, ...keys) => keys.reduce((inner, key) => member(inner, String(key)), value),
  println: (...values) => `${values.map(goText).join(' ')}\n`,
  print: (...values) => values.map(goText).join(''),
} satisfies Record<string, (...args: unknown[]) => unknown>));

function evaluate(stage: readonly Word[], value: unknown, piped: readonly unknown[], text: string): unknown {
  const [first, ...rest] = stage;
  if (first === undefined) throw unsupported(text);
  if (first.kind === 'name') {
    const call = functions.get(first.name);
    if (call === undefined) throw unsupported(text);
    return call(...rest.map((word) => valueOf(word, value, text)), ...piped);
  }
  if (rest.length > 0 || piped.length > 0) throw unsupported(text);
  return valueOf(first, value, text);
}

function valueOf(word: Word, value: unknown, text: string): unknown {
  if (word.kind === 'text') return word.text;
  if (word.kind === 'name') throw unsupported(text);
  return word.path.reduce(member, value);
}

function member(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value[Number(key)] as unknown;
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function words(stage: string, text: string): Word[] {
  const found: Word[] = [];
  let rest = stage;
  while (rest !== '') {
    const match = /^(?:(\.[\w.]*)|"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\d+)|([a-z]+))(?:\s+|$)/i.exec(rest);
    if (match === null) throw unsupported(text);
    const [whole, path, quoted, raw, number, name] = match;
    if (path !== undefined) found.push({ kind: 'path', path: path.split('.').filter((part) => part !== '') });
    else if (name !== undefined) {
      if (!functions.has(name)) throw unsupported(text);
      found.push({ kind: 'name', name });
    } else found.push({ kind: 'text', text: quoted === undefined ? (raw ?? number ?? '') : (JSON.parse(`"${quoted}"`) as string) });
    rest = rest.slice(whole.length);
  }
  return found;
}

function splitOutsideQuotes(text: string, at: string): string[] {
  return text.match(new RegExp(`(?:"(?:[^"\\\\]|\\\\.)*"|\`[^\`]*\`|[^"\`${at}])+`, 'g')) ?? [];
}

const unsupported = (text: string) => new UsageError(`--format: {{${text}}} is not supported; there are {{.Field}}, {{json .}}, {{index .A "key"}}, {{len .A}}, {{upper .A}}, {{lower .A}}, {{join .A ","}}`);

/** Values as Go prints them: lists in brackets, maps as map[key:value], nothing as <no value>. */
export function goText(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (typeof value === 'object') return `map[${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => `${key}:${goText(one)}`).join(' ')}]`;
  return String(value as string | number | boolean | bigint);
}
