// runc's global flags. Types and parsing only.
import { Failure } from './failure.ts';

export interface Globals {
  readonly root: string;
  readonly log: string | undefined;
  readonly logFormat: 'text' | 'json';
  readonly debug: boolean;
}

export interface CommandLine { readonly globals: Globals; readonly verb: string | undefined; readonly args: readonly string[]; readonly version: boolean; readonly help: boolean }

const valued = ['root', 'log', 'log-format', 'rootless'];
const flags = ['debug', 'systemd-cgroup', 'version', 'v', 'help', 'h'];

/** Flags before the verb. Throws `usage`. */
export function parseGlobals(argv: readonly string[]): CommandLine {
  const found = new Map<string, string>();
  let at = 0;
  for (; at < argv.length && argv[at]?.startsWith('-') === true; at++) {
    const [name = '', inline] = (argv[at] as string).replace(/^--?/, '').split(/=(.*)/s);
    if (valued.includes(name)) found.set(name, inline ?? argv[++at] ?? '');
    else if (flags.includes(name)) found.set(name, inline ?? 'true');
    else throw new Failure('usage', `flag provided but not defined: -${name}`);
  }
  const globals: Globals = { root: found.get('root') || '/run/runv', log: found.get('log') || undefined, logFormat: found.get('log-format') === 'json' ? 'json' : 'text', debug: found.get('debug') === 'true' };
  return { globals, verb: argv[at], args: argv.slice(at + 1), version: found.has('version') || found.has('v'), help: found.has('help') || found.has('h') };
}
