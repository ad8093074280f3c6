// Reads /proc/self/mountinfo (proc_pid_mountinfo(5)) and the options of an overlay in it. Pure; it must not resolve paths.

export interface Mount {
  readonly mountPoint: string;
  /** The directory of the file system that is mounted there; "/" unless it is a bind mount. */
  readonly root: string;
  readonly type: string;
  /** Of the file system, decoded, in order: an option may come several times. */
  readonly options: readonly (readonly [name: string, value: string])[];
}

export interface Overlay {
  /** Uppermost first, as overlay counts; possibly relative to a directory that the mount's maker was in. */
  readonly lower: readonly string[];
  /** Null: the overlay is read-only. */
  readonly upper: string | null;
}

const unescapeOctal = (text: string): string => {
  if (!text.includes('\\')) return text;
  const bytes: number[] = [];
  const source = Buffer.from(text);
  for (let at = 0; at < source.length; at++) {
    const digits = source[at] === 0x5c ? /^[0-7]{3}/.exec(source.subarray(at + 1, at + 4).toString('latin1')) : null;
    if (digits === null) bytes.push(source[at] as number);
    else {
      bytes.push(Number.parseInt(digits[0], 8) & 0xff);
      at += 3;
    }
  }
  return Buffer.from(bytes).toString();
};

/** Every mount, the earlier below the later. Lines that make no sense are passed over. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [root, mountPoint] = [fields[3], fields[4]];
    const [type, options] = [fields[dash + 1], fields[dash + 3]];
    if (dash < 0 || root === undefined || mountPoint === undefined || type === undefined) return [];
    return [{ root: unescapeOctal(root), mountPoint: unescapeOctal(mountPoint), type, options: (options ?? '').split(',').map(parseOption) }];
  });
}

/** Commas that belong to a value are octal in mountinfo: the others part options. */
function parseOption(text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  return equals < 0 ? [unescapeOctal(text), ''] : [text.slice(0, equals), unescapeOctal(text.slice(equals + 1))];
}

/** What is mounted at exactly `path` (absolute, without links), uppermost; undefined when nothing is. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/** The directories of an overlay; undefined for any other mount, and for a bind mount of an overlay's subdirectory. */
export function overlayOf(mount: Mount): Overlay | undefined {
  if (mount.type !== 'overlay' || mount.root !== '/') return undefined;
  const values = (name: string): string[] => mount.options.filter(([option]) => option === name).map(([, value]) => value);
  const lower = [...values('lowerdir').flatMap(splitLower), ...values('lowerdir+').map(unescapeColons)];
  return lower.length === 0 ? undefined : { lower, upper: values('upperdir').map(unescapeColons)[0] ?? null };
}

const unescapeColons = (path: string): string => path.replaceAll(/\\(.)/gs, '$1');

/** Parts at colons that have no backslash before them. Data-only layers ("::") hold no names and are left out. */
function splitLower(list: string): string[] {
  return (list.match(/(?:\\.|[^\\:])+/gs) ?? []).map(unescapeColons);
}
