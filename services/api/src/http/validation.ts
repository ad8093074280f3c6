// Compiles the routes' schemas once each and words what does not fit, naming the field: `HostConfig.Memory: must be integer`.
import { Compile } from 'typebox/compile';
import type { TSchema } from 'typebox';
import { badField, type HttpError } from '../errors.ts';
import { queryReader, sound } from './query.ts';

type Validator = (value: unknown) => { value: unknown } | { error: Error };

interface RouteSchema {
  readonly schema: unknown;
  readonly httpPart?: string;
}

/** For `setValidatorCompiler`: query strings are read by Docker's rules, bodies and path parameters are checked as they are. */
export function validatorCompiler({ schema, httpPart }: RouteSchema): Validator {
  const check = Compile(schema as TSchema);
  const name = httpPart === 'body' ? 'the body' : httpPart === 'params' ? 'the path' : 'the query';
  const checked = (value: unknown): { value: unknown } | { error: Error } => (check.Check(value) ? { value } : { error: explain(name, check.Errors(value)) });
  if (httpPart === 'querystring') {
    const read = queryReader(schema as TSchema);
    return (value) => caught(() => checked(read(value)));
  }
  if (httpPart === 'params') return (value) => caught(() => checked(soundParams(value as Record<string, string>)));
  return checked;
}

function caught(work: () => { value: unknown } | { error: Error }): { value: unknown } | { error: Error } {
  try {
    return work();
  } catch (error) {
    return { error: error as HttpError };
  }
}

function soundParams(params: Record<string, string>): Record<string, string> {
  for (const [name, text] of Object.entries(params)) sound(name, text);
  return params;
}

interface Problem {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** The most telling of the problems: the deepest one, and of alternatives all that were allowed. */
function explain(name: string, problems: Iterable<Problem>): HttpError {
  const all = [...problems].filter((problem) => problem.keyword !== 'anyOf');
  const deepest = Math.max(...all.map((problem) => depth(problem)));
  const told = all.filter((problem) => depth(problem) === deepest);
  const first = told[0];
  if (first === undefined) return badField(name, 'it does not fit the schema');
  const messages = new Set(told.filter((problem) => problem.instancePath === first.instancePath).map(describe));
  return badField(fieldOf(first.instancePath) || name, [...messages].slice(0, 4).join(' or '));
}

const depth = (problem: Problem) => problem.instancePath.split('/').length;

function describe(problem: Problem): string {
  if (problem.keyword === 'required') return `${(problem.params as { requiredProperties?: string[] }).requiredProperties?.join(', ') ?? 'a member'} must be given`;
  return problem.message;
}

/** `/HostConfig/Binds/0` → `HostConfig.Binds[0]`. */
function fieldOf(pointer: string): string {
  return pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`), '').slice(0, 200);
}
