// A verb's command line: options anywhere before the first plain word (runc's way), `--name value` or `--name=value`. Pure.
import { Failure } from './failure.ts';

export interface Arguments {
  readonly flags: ReadonlySet<string>;
  /** The last value of each option. */
  readonly values: ReadonlyMap<string, string>;
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly rest: readonly string[];
}

/** `alias` maps short names to long ones. Options after the plain words are taken too unless `greedy`: there the rest is a command. Throws `usage`. */
export function parseArguments(args: readonly string[], known: { readonly flags?: readonly string[]; readonly values?: readonly string[]; readonly alias?: Readonly<Record<string, string>>; readonly greedyAfter?: number }): Arguments {
  const { flags: knownFlags = [], values: knownValues = [], alias = {}, greedyAfter = Infinity } = known;
  const flags = new Set<string>();
  const lists = new Map<string, string[]>();
  const rest: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string;
    if (arg === '--') {
      rest.push(...args.slice(at + 1));
      break;
    }
    if (!arg.startsWith('-') || arg === '-') {
      rest.push(arg);
      if (rest.length < greedyAfter) continue;
      rest.push(...args.slice(at + 1));
      break;
    }
    const [given = '', inline] = arg.replace(/^--?/, '').split(/=(.*)/s);
    const name = alias[given] ?? given;
    if (knownFlags.includes(name)) {
      if (inline !== 'false') flags.add(name);
    } else if (knownValues.includes(name)) {
      const value = inline ?? args[++at];
      if (value === undefined) throw new Failure('usage', `flag needs an argument: --${name}`);
      lists.set(name, [...(lists.get(name) ?? []), value]);
    } else {
      throw new Failure('usage', `flag provided but not defined: -${given}`);
    }
  }
  return { flags, lists, values: new Map([...lists].map(([name, values]) => [name, values.at(-1) ?? ''])), rest };
}

/** The container's id: exactly one plain word, or at least one. */
export function idOf({ rest }: Arguments, verb: string, exactly = true): string {
  const [id] = rest;
  if (id === undefined || (exactly && rest.length !== 1)) throw new Failure('usage', `"runv ${verb}" requires ${exactly ? 'exactly' : 'a minimum of'} 1 argument`);
  return id;
}
