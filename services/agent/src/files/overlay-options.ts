// The options of an overlay as the kernel takes them. Pure.

/**
 * The kernel takes one page of options, and images have many layers: what the directories of the layers have in common is left out, and the mount is made
 * from that directory. `ro` and `rw` are no options of the file system.
 */
export function overlayOptions(options: readonly string[]): { readonly data: string; readonly directory: string } {
  const prefix = 'lowerdir=';
  const lower = (options.find((option) => option.startsWith(prefix)) ?? '').slice(prefix.length).split(':');
  const common = commonDirectory(lower);
  const kept = options.filter((option) => option !== 'ro' && option !== 'rw');
  if (common === null || lower.length === 1) return { data: kept.join(','), directory: '/' };
  const shortened = kept.map((option) => (option.startsWith(prefix) ? prefix + lower.map((path) => path.slice(common.length)).join(':') : option));
  return { data: shortened.join(','), directory: common };
}

/** With a slash at its end; null where there is none but the root. */
function commonDirectory(paths: readonly string[]): string | null {
  const [first = ''] = paths;
  let length = first.length;
  for (const path of paths) while (length > 0 && path.slice(0, length) !== first.slice(0, length)) length--;
  const common = first.slice(0, first.lastIndexOf('/', length - 1) + 1);
  return common.length > 1 ? common : null;
}
