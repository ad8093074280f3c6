// `docker top` of a virtual machine: its processes are its own kernel's, so the guest is asked; the host's ps sees none of them.
// Pure but for the question. The columns are those that the guest tells.
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import type { GuestProcess } from './runv.ts';

export interface GuestTop {
  readonly titles: string[];
  readonly processes: string[][];
}

type Column = readonly [title: string, value: (process: GuestProcess) => string];

const cpuTime = ({ cpuMs }: GuestProcess): string => {
  const seconds = Math.floor(cpuMs / 1_000);
  return [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, '0')).join(':');
};
const kib = ({ residentBytes }: GuestProcess): string => String(Math.round(residentBytes / 1_024));

const columns: Readonly<Record<string, Column>> = {
  uid: ['UID', ({ uid }) => String(uid)], user: ['USER', ({ uid }) => String(uid)], pid: ['PID', ({ pid }) => String(pid)], ppid: ['PPID', ({ parentPid }) => String(parentPid)],
  rss: ['RSS', kib], time: ['TIME', cpuTime], cmd: ['CMD', ({ command }) => command], args: ['COMMAND', ({ command }) => command], comm: ['COMMAND', ({ command }) => command.split(' ')[0] ?? ''],
};
const full = ['uid', 'pid', 'ppid', 'time', 'cmd'];
const bsd = ['user', 'pid', 'rss', 'time', 'args'];

export async function guestTop({ machines, book }: Rooms, id: string, args: readonly string[]): Promise<GuestTop> {
  const chosen = columnsOf(args);
  if (machines === null) throw new OperatingError('unsupported', 'this host does not have the runtime runv any more');
  if (book.local(id)?.status === 'paused') throw new OperatingError('conflict', `Container ${id} is paused: its machine does not answer`);
  const processes = await machines.processes(id);
  return { titles: chosen.map(([title]) => title), processes: processes.map((process) => chosen.map(([, value]) => value(process))) };
}

/** What of ps' arguments a guest can answer: `-ef`, `-eF`, `aux` and the like, and `-o` with columns that it tells. */
export function columnsOf(args: readonly string[]): readonly Column[] {
  const at = args.findIndex((arg) => arg === '-o' || arg === '-eo');
  const names = at >= 0 ? (args[at + 1] ?? '').split(',') : args[0] === 'aux' || args[0] === 'axu' || args[0] === 'u' ? bsd : /^-?[aefFlxw]+$/.test(args[0] ?? '') && args.length === 1 ? full : null;
  const found = names?.map((name) => (Object.hasOwn(columns, name) ? columns[name] : undefined));
  if (found === undefined || found.some((column) => column === undefined)) {
    throw new OperatingError('bad-parameter', `ps_args: the processes of a virtual machine are told by its guest, which knows -ef, aux and -o with ${Object.keys(columns).join(', ')}`);
  }
  return found as readonly Column[];
}
