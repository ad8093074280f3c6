// Reads what flags name in files: env files, label files, seccomp profiles. Merges variables; sends nothing.
import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

/** Variables of `--env-file`s and then `-e`s. `NAME` alone takes the caller's value, and is left out where there is none. */
export function toEnv(values: readonly string[], files: readonly string[], variables: Variables): string[] {
  const fromFiles = files.flatMap((path) => lines('--env-file', path).map((line) => ({ line, flag: `--env-file ${path}` })));
  return [...fromFiles, ...values.map((line) => ({ line, flag: '-e' }))].flatMap(({ line, flag }) => {
    const at = line.indexOf('=');
    const name = at === -1 ? line : line.slice(0, at);
    if (name === '' || (flag !== '-e' && /\s/.test(name))) throw new UsageError(`${flag}: ${JSON.stringify(line)} is not NAME=value or NAME`);
    if (at !== -1) return [line];
    const inherited = variables[name];
    return inherited === undefined ? [] : [`${name}=${inherited}`];
  });
}

/** Lines that say something: not empty, not a comment. */
export function lines(flag: string, path: string): string[] {
  return text(flag, path).replace(/^\uFEFF/, '').split(/\r?\n/).map((line) => line.trimStart()).filter((line) => line !== '' && !line.startsWith('#'));
}

/** `--security-opt`: the profile that `seccomp=file` names is sent itself, since the API's host has no such file. */
export function toSecurityOpts(values: readonly string[]): string[] {
  return values.map((value) => {
    const [, key, rest] = /^([^=:]+)[=:](.*)$/s.exec(value) ?? [];
    if (key === undefined) {
      if (value !== 'no-new-privileges') throw new UsageError(`--security-opt ${value}: expected key=value or no-new-privileges`);
      return value;
    }
    if (key !== 'seccomp' || rest === 'unconfined' || rest === 'builtin' || rest === undefined) return value;
    try {
      return `seccomp=${JSON.stringify(JSON.parse(text('--security-opt seccomp', rest)))}`;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new UsageError(`--security-opt ${value}: the profile is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
}

function text(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${flag} ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
