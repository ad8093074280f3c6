// Options of a tmpfs: Docker's own, overridden by what was asked, each checked, since the runtime's words on a wrong one say nothing. Pure.
// Source: mount(8) "Mount options for tmpfs"; Docker's documentation of --tmpfs.
import type { MountInput } from './input.ts';
import type { Findings } from './refusal.ts';

/** Flags that exclude each other: the last one said holds. */
const flags: readonly (readonly string[])[] = [
  ['ro', 'rw'], ['suid', 'nosuid'], ['dev', 'nodev'], ['exec', 'noexec'], ['sync', 'async'], ['dirsync'], ['diratime', 'nodiratime'], ['mand', 'nomand'],
  ['atime', 'noatime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime'],
  ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable'],
];

const values: ReadonlyMap<string, RegExp> = new Map([
  ['size', /^\d{1,19}(?:[kKmMgG]|%)?$/], ['mode', /^[0-7]{1,5}$/], ['uid', /^\d{1,10}$/], ['gid', /^\d{1,10}$/],
  ['nr_inodes', /^\d{1,19}[kKmMgG]?$/], ['nr_blocks', /^\d{1,19}[kKmMgG]?$/], ['mpol', /^[a-z]+(?:[=:][a-z0-9:\-]+)*$/],
]);

export function tmpfsOptions(mount: Extract<MountInput, { type: 'tmpfs' }>, findings: Findings): string[] {
  const defaults = [
    'nosuid', 'nodev', 'noexec', 'rprivate',
    ...(mount.readonly === true ? ['ro'] : []),
    ...(mount.sizeBytes ? [`size=${mount.sizeBytes}`] : []),
    ...(mount.mode === null || mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8)}`]),
  ];
  const asked = (mount.options ?? []).filter((option) => option !== '' && option !== 'defaults');
  const chosen = new Map<string, string>();
  for (const option of [...defaults, ...asked]) {
    const group = flags.find((names) => names.includes(option))?.[0];
    const at = option.indexOf('=');
    const name = at < 0 ? option : option.slice(0, at);
    if (group === undefined && !(at >= 0 && values.get(name)?.test(option.slice(at + 1)))) findings.refuse('HostConfig.Tmpfs', `invalid tmpfs option ${JSON.stringify(option)} for ${mount.target}`);
    chosen.set(group ?? name, option);
  }
  return [...chosen.values()];
}
