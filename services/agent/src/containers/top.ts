// `docker top`: the host's ps, narrowed to the processes of one container.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isMachine } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import { guestTop } from '../machines/top.ts';
import type { Rooms } from '../rooms.ts';

const run = promisify(execFile);
const timeoutMs = 10_000;
const maxOutputBytes = 16 * 2 ** 20;

export interface Top {
  readonly titles: string[];
  readonly processes: string[][];
}

/** `psArgs` as docker takes them, e.g. `-ef` (the default), `aux`, `-o pid,cmd`; they must leave a PID column. */
export async function top(rooms: Rooms, id: string, psArgs: string): Promise<Top> {
  const { containerd, book, config } = rooms;
  const container = book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  if (container.status !== 'running' && container.status !== 'paused') throw new OperatingError('not-running', `Container ${id} is not running`);
  const args = psArgs.trim() === '' ? ['-ef'] : psArgs.trim().split(/\s+/);
  if (args.length > 32) throw new OperatingError('bad-parameter', 'ps_args: at most 32 arguments are taken');
  if (isMachine(container.spec)) return await guestTop(rooms, id, args);
  const [pids, output] = await Promise.all([containerd.tasks.listPids(id), ps(args, config.path)]);
  return select(output, new Set(pids.map(({ pid }) => pid)));
}

async function ps(args: readonly string[], path: string): Promise<string> {
  try {
    return (await run('ps', [...args], { timeout: timeoutMs, maxBuffer: maxOutputBytes, env: { PATH: path, LC_ALL: 'C' } })).stdout;
  } catch (error) {
    const words = (error as { stderr?: string }).stderr?.trim().split('\n')[0] ?? (error as Error).message;
    throw new OperatingError('bad-parameter', `ps_args: ps failed: ${words}`, { cause: error });
  }
}

/** Rows of `output` whose PID is among `pids`; the last column keeps its blanks. */
export function select(output: string, pids: ReadonlySet<number>): Top {
  const [head = '', ...rows] = output.split('\n');
  const titles = head.trim().split(/\s+/);
  const pidColumn = titles.indexOf('PID');
  if (pidColumn === -1) throw new OperatingError('bad-parameter', 'ps_args: the output of ps has no PID column');
  const processes: string[][] = [];
  for (const row of rows) {
    const words = row.trim().split(/\s+/);
    if (!pids.has(Number(words[pidColumn]))) continue;
    processes.push([...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(' ')]);
  }
  return { titles, processes };
}
