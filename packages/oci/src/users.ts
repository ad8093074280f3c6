// Who a process runs as: Docker's `user[:group]` looked up in the passwd and group files of the image. How files are read is the caller's.
import type { ResolvedUser } from './input.ts';
import { Findings, type Outcome } from './refusal.ts';

/** Text of a file of the image by absolute path; null where there is none. It must not follow links out of the image. */
export type ReadImageFile = (path: string) => Promise<string | null>;

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Highest id that the kernel takes; 2³²−1 means "no id". */
const maxId = 2 ** 31 - 1;

/**
 * Resolves `user`, `uid`, `user:group` or `uid:gid`, and further groups by name or number. A number needs no entry; its home and groups come from the
 * entry if there is one. Refuses names that the image does not know, in Docker's words.
 */
export async function resolveUser(read: ReadImageFile, asked: string, groupAdd: readonly string[] = []): Promise<Outcome<{ readonly user: ResolvedUser }>> {
  const findings = new Findings();
  // Read even for plain numbers: home and further groups come from the entry.
  const passwd = parsePasswd((await read('/etc/passwd')) ?? '');
  const groups = parseGroups((await read('/etc/group')) ?? '');
  const [userPart = '', groupPart] = asked.split(':', 2);
  const entry = userPart === '' ? passwd.find(({ uid }) => uid === 0) : passwd.find((one) => one.name === userPart) ?? passwd.find((one) => isNumber(userPart) && one.uid === Number(userPart));
  let uid = entry?.uid ?? 0;
  if (entry === undefined && userPart !== '') {
    if (!isNumber(userPart)) findings.refuse('User', `unable to find user ${userPart}: no matching entries in passwd file`);
    else if (Number(userPart) > maxId) findings.refuse('User', `uid ${userPart} is too large: ids go up to ${maxId}`);
    else uid = Number(userPart);
  }
  const groupOf = (part: string, field: string): number => {
    const known = groups.find((one) => one.name === part);
    if (known !== undefined) return known.gid;
    if (isNumber(part) && Number(part) <= maxId) return Number(part);
    findings.refuse(field, `unable to find group ${part}: no matching entries in group file`);
    return 0;
  };
  const gid = groupPart === undefined || groupPart === '' ? (entry?.gid ?? 0) : groupOf(groupPart, 'User');
  // With a group of its own choosing a process has only that one, as Docker has it.
  const memberOf = (groupPart ?? '') === '' && entry !== undefined ? groups.filter(({ members }) => members.includes(entry.name)).map((group) => group.gid) : [];
  const added = groupAdd.map((part) => groupOf(part, 'HostConfig.GroupAdd'));
  const additionalGids = [...new Set([...memberOf, ...added])].filter((one) => one !== gid);
  return findings.outcome({ user: { uid, gid, additionalGids, home: entry?.home === undefined || entry.home === '' ? '/' : entry.home } });
}

const isNumber = (text: string) => /^\d{1,10}$/.test(text);
/** An entry with an id that the kernel does not take is as no entry: 2³²−1 would leave the process the id that it had, root. */
const isId = (text: string) => isNumber(text) && Number(text) <= maxId;

function lines(text: string): string[][] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(':'));
}

function parsePasswd(text: string): PasswdEntry[] {
  return lines(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) => (isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : []));
}

function parseGroups(text: string): GroupEntry[] {
  return lines(text).flatMap(([name = '', , gid = '', members = '']) => (isId(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }] : []));
}
