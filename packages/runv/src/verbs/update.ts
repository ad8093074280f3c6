// runv update: what of a machine's resources can change while it runs; the rest is refused by name.
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { idOf, parseArguments } from '../arguments.ts';
import { askGuest } from '../ask-guest.ts';
import { limitCgroups } from '../cgroups.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { op, updateTag } from '../protocol/ops.ts';
import { record, u64 } from '../protocol/records.ts';
import type { ResourcesSpec } from '../spec.ts';
import { readState, statusOf, writeState } from '../state.ts';
import { refuseUpdate } from '../update-limits.ts';

const numbers = { 'cpu-quota': 'quota', 'cpu-period': 'period', 'cpu-share': 'shares' } as const;

async function wanted(parsed: ReturnType<typeof parseArguments>): Promise<ResourcesSpec> {
  const file = parsed.values.get('resources');
  if (file !== undefined) return JSON.parse(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')) as ResourcesSpec;
  const number = (flag: string): number => {
    const value = Number(parsed.values.get(flag));
    if (!Number.isSafeInteger(value)) throw new Failure('usage', `--${flag}: ${JSON.stringify(parsed.values.get(flag))} is no whole number`);
    return value;
  };
  const cpu = Object.fromEntries(Object.entries(numbers).filter(([flag]) => parsed.values.has(flag)).map(([flag, name]) => [name, number(flag)]));
  const cpus = parsed.values.get('cpuset-cpus');
  return {
    cpu: { ...cpu, ...(cpus === undefined ? {} : { cpus }) },
    ...(parsed.values.has('memory') ? { memory: { limit: number('memory') } } : {}),
    ...(parsed.values.has('pids-limit') ? { pids: { limit: number('pids-limit') } } : {}),
  };
}

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { values: ['resources', 'memory', 'pids-limit', 'cpuset-cpus', ...Object.keys(numbers)], alias: { r: 'resources' } });
  const id = idOf(parsed, 'update');
  const state = readState(root, id);
  if (statusOf(root, state) === 'stopped') throw new Failure('wrong-state', 'container not running');
  const given = await wanted(parsed);
  refuseUpdate(given);
  const { memory, pids, ...resources } = given;
  const limit = memory?.limit ?? 0;
  if (limit > state.memoryBytes) throw new Failure('unsupported', `memory ${limit}: a running virtual machine cannot get more than the ${state.memoryBytes} bytes that it was made with`);
  const processes = pids?.limit ?? 0; // 0: not said; below: none
  const records = [
    ...(limit > 0 ? [record(updateTag.memory, u64(BigInt(limit)))] : []),
    ...(processes === 0 ? [] : [record(updateTag.pids, u64(processes < 0 ? 2n ** 64n - 1n : BigInt(processes)))]),
  ];
  if (records.length > 0) await askGuest(root, id, op.update, op.updated, Buffer.concat(records));
  if (limit > 0) writeState(root, { ...state, memoryLimitBytes: limit });
  limitCgroups(state.cgroups, resources, state.memoryBytes);
  return 0;
}
