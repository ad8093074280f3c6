// runv update: what of a machine's resources can change while it runs; the rest is refused by name.
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { idOf, parseArguments } from '../arguments.ts';
import { askGuest } from '../ask-guest.ts';
import { limitCgroups } from '../cgroups.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { op } from '../protocol/ops.ts';
import { record, u64 } from '../protocol/records.ts';
import type { ResourcesSpec } from '../spec.ts';
import { readState, statusOf } from '../state.ts';

const numbers = { 'cpu-quota': 'quota', 'cpu-period': 'period', 'cpu-share': 'shares' } as const;

async function wanted(parsed: ReturnType<typeof parseArguments>): Promise<ResourcesSpec> {
  const file = parsed.values.get('resources');
  if (file !== undefined) return JSON.parse(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')) as ResourcesSpec;
  const cpu = Object.fromEntries(Object.entries(numbers).filter(([flag]) => parsed.values.has(flag)).map(([flag, name]) => [name, Number(parsed.values.get(flag))]));
  const cpus = parsed.values.get('cpuset-cpus');
  return { cpu: { ...cpu, ...(cpus === undefined ? {} : { cpus }) }, ...(parsed.values.has('memory') ? { memory: { limit: Number(parsed.values.get('memory')) } } : {}) };
}

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { values: ['resources', 'memory', 'cpuset-cpus', ...Object.keys(numbers)], alias: { r: 'resources' } });
  const id = idOf(parsed, 'update');
  const state = readState(root, id);
  if (statusOf(root, state) === 'stopped') throw new Failure('wrong-state', 'container not running');
  const { memory, ...resources } = await wanted(parsed);
  const limit = memory?.limit ?? 0;
  if (limit > state.memoryBytes) throw new Failure('unsupported', `memory ${limit}: a running virtual machine cannot get more than the ${state.memoryBytes} bytes that it was made with`);
  if (limit > 0) await askGuest(root, id, op.update, op.updated, record(1, u64(BigInt(limit))));
  limitCgroups(state.cgroups, resources, state.memoryBytes);
  return 0;
}
