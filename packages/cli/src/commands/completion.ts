// `pouch completion`: scripts for bash, zsh and fish, made from the tree of commands. Names of containers and images are asked for by `pouch __complete`.
import type { Command, Option } from 'commander';

export type Shell = 'bash' | 'zsh' | 'fish';

/** What completes an argument: a kind that `__complete` knows, or nothing. */
export type NameKind = 'containers' | 'running' | 'images' | 'names' | 'services' | 'volumes' | null;

const kinds: Readonly<Record<string, NameKind>> = {
  run: 'images', create: 'images', start: 'containers', stop: 'running', restart: 'containers', kill: 'running', rm: 'containers', rename: 'containers', wait: 'containers', logs: 'containers',
  exec: 'running', cp: 'containers', attach: 'running', inspect: 'names', top: 'running', stats: 'running', pause: 'running', unpause: 'running', images: 'images', pull: 'images', tag: 'images', rmi: 'images', history: 'images',
};

/** Of commands in a group, by both words. */
const kindsOfGroups: Readonly<Record<string, NameKind>> = {
  'service create': 'images', 'service ps': 'services', 'service logs': 'services', 'service inspect': 'services', 'service update': 'services', 'service rollback': 'services', 'service rm': 'services', 'service scale': 'services', 'volume inspect': 'volumes', 'volume rm': 'volumes',
};

export interface Entry {
  /** Words that lead to it: `['cluster', 'hosts']`; empty for `pouch` itself. */
  readonly path: readonly string[];
  readonly description: string;
  readonly children: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly { readonly flags: readonly string[]; readonly description: string; readonly takesValue: boolean; readonly choices: readonly string[] }[];
  readonly names: NameKind;
  /** Fixed words of the first argument. */
  readonly words: readonly string[];
}

/** The tree, flat, hidden commands and options left out. */
export function entries(command: Command, path: readonly string[] = []): Entry[] {
  const helper = command.createHelp();
  const visible = helper.visibleCommands(command).filter((child) => child.name() !== 'help' || path.length === 0);
  const option = (one: Option) => ({
    flags: [one.short, one.long].filter((flag): flag is string => typeof flag === 'string'),
    description: one.description,
    takesValue: one.required || one.optional,
    choices: one.argChoices ?? [],
  });
  const own: Entry = {
    path,
    description: command.description(),
    children: visible.map((child) => ({ name: child.name(), description: child.description() })),
    options: helper.visibleOptions(command).map(option),
    names: (path.length === 1 ? kinds[path[0] as string] : kindsOfGroups[path.join(' ')]) ?? null,
    words: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [own, ...visible.filter((child) => child.name() !== 'help').flatMap((child) => entries(child, [...path, child.name()]))];
}

export async function completion(program: Command, shell: Shell): Promise<number> {
  process.stdout.write(completionScript(program, shell));
  return Promise.resolve(0);
}

export function completionScript(program: Command, shell: Shell): string {
  const tree = entries(program);
  switch (shell) {
    case 'bash':
      return bash(tree);
    case 'zsh':
      return zsh(tree);
    case 'fish':
      return fish(tree);
    default:
      return shell satisfies never;
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
const valueFlags = (entry: Entry) => entry.options.filter(({ takesValue }) => takesValue).flatMap(({ flags }) => flags);

function bash(tree: readonly Entry[]): string {
  const cases = tree.map((entry) => {
    const words = [...entry.children.map(({ name }) => name), ...entry.words].join(' ');
    const flags = entry.options.flatMap((option) => option.flags).join(' ');
    const choices = entry.options.filter((option) => option.choices.length > 0).map((option) => `${option.flags.join('|')}) choices=${quoted(option.choices.join(' '))} ;;`);
    return `    ${quoted(entry.path.join(' '))})
      words=${quoted(words)} flags=${quoted(flags)} valued=${quoted(` ${valueFlags(entry).join(' ')} `)} names=${quoted(entry.names ?? '')}
      case "$1" in ${choices.join(' ')} *) choices='' ;; esac ;;`;
  });
  return `# bash completion of pouch; made by \`pouch completion bash\`
_pouch_entry() {
  case "$2" in
${cases.join('\n')}
    *) words='' flags='' valued='' names='' choices='' ; return 1 ;;
  esac
}
_pouch() {
  local cur prev words flags valued names choices path='' word at skip='' rest=0 host=()
  COMPREPLY=()
  cur=\${COMP_WORDS[COMP_CWORD]}
  prev=\${COMP_WORDS[COMP_CWORD-1]}
  _pouch_entry '' ''
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if [[ -n $skip ]]; then [[ $skip == -H || $skip == --host ]] && host=(-H "$word"); skip=''; continue; fi
    if [[ $word == -* ]]; then [[ $valued == *" $word "* ]] && skip=$word; continue; fi
    if [[ " $words " == *" $word "* ]]; then path="\${path:+$path }$word"; _pouch_entry '' "$path" || return 0; else rest=$((rest + 1)); fi
  done
  _pouch_entry "$prev" "$path"
  if [[ -n $choices ]]; then COMPREPLY=($(compgen -W "$choices" -- "$cur")); return 0; fi
  if [[ -n $skip ]]; then COMPREPLY=($(compgen -f -- "$cur")); return 0; fi
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$cur")); return 0; fi
  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); return 0; fi
  if [[ -n $names ]]; then
    COMPREPLY=($(compgen -W "$(command pouch "\${host[@]}" __complete "$names" 2>/dev/null)" -- "$cur"))
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$cur"
  fi
  return 0
}
complete -o default -F _pouch pouch
`;
}

function zsh(tree: readonly Entry[]): string {
  const described = (name: string, description: string) => quoted(`${name.replaceAll(':', '\\:')}:${description}`);
  const functions = tree.map((entry) => {
    const flags = entry.options.map((option) => {
      const short = option.description.replaceAll(/[[\]]/g, '\\$&').replaceAll(':', '\\:');
      const value = option.takesValue ? (option.choices.length > 0 ? `:value:(${option.choices.join(' ')})` : ':value:_files') : '';
      return option.flags.map((flag) => quoted(`*${flag}[${short}]${value}`)).join(' ');
    });
    const inner = entry.children.length > 0
      ? `  local -a subcommands=(${entry.children.map(({ name, description }) => described(name, description)).join(' ')})
  _arguments -C -S ${flags.join(' ')} '1: :->command' '*:: :->rest' && return 0
  case $state in
    command) _describe command subcommands ;;
    rest) local name=_pouch${entry.path.map((word) => `_${word}`).join('')}_$words[1]; (( $+functions[$name] )) && $name ;;
  esac`
      : `  _arguments -S ${flags.join(' ')} ${entry.words.length > 0 ? quoted(`1:word:(${entry.words.join(' ')})`) : entry.names === null ? "'*:file:_files'" : quoted(`*:name:_pouch_names ${entry.names}`)}`;
    return `_pouch${entry.path.map((word) => `_${word}`).join('')}() {
  local state line
  typeset -A opt_args
${inner}
}`;
  });
  return `#compdef pouch
# zsh completion of pouch; made by \`pouch completion zsh\`
_pouch_names() {
  local -a names=(\${(f)"$(command pouch __complete $1 2>/dev/null)"})
  compadd -a names
}
${functions.join('\n')}
if [ "$funcstack[1]" = "_pouch" ]; then _pouch "$@"; else compdef _pouch pouch; fi
`;
}

function fish(tree: readonly Entry[]): string {
  const lines: string[] = [];
  for (const entry of tree) {
    const siblings = entry.children.map(({ name }) => name).join(' ');
    const here = entry.path.length === 0 ? '__fish_use_subcommand' : entry.path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const before = entry.path.length > 0 && siblings !== '' ? `${here}; and not __fish_seen_subcommand_from ${siblings}` : here;
    for (const { name, description } of entry.children) lines.push(`complete -c pouch -f -n ${quoted(before)} -a ${name} -d ${quoted(description)}`);
    for (const { flags, description, takesValue, choices } of entry.options) {
      const letters = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ');
      lines.push(`complete -c pouch -n ${quoted(here)} ${letters}${takesValue ? ' -r' : ''}${choices.length > 0 ? ` -f -a ${quoted(choices.join(' '))}` : ''} -d ${quoted(description)}`);
    }
    if (entry.words.length > 0) lines.push(`complete -c pouch -f -n ${quoted(here)} -a ${quoted(entry.words.join(' '))}`);
    if (entry.names !== null) lines.push(`complete -c pouch -f -n ${quoted(here)} -a ${quoted(`(command pouch __complete ${entry.names} 2>/dev/null)`)}`);
  }
  return `# fish completion of pouch; made by \`pouch completion fish\`\n${lines.join('\n')}\n`;
}
