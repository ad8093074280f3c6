// runv ps: the guest's processes. `json`: their numbers in the guest; `json-long`: all that the guest says of them.
import { idOf, parseArguments } from '../arguments.ts';
import { askGuest } from '../ask-guest.ts';
import type { Globals } from '../globals.ts';
import { op } from '../protocol/ops.ts';
import { u32 } from '../protocol/records.ts';
import { decodeProcesses } from '../protocol/replies.ts';

const msPerTick = 10;

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { values: ['format'], alias: { f: 'format' } });
  const { frame } = await askGuest(root, idOf(parsed, 'ps', false), op.ps, op.psReply, u32(1));
  const processes = decodeProcesses(frame.payload);
  switch (parsed.values.get('format')) {
    case 'json':
      process.stdout.write(JSON.stringify(processes.map(({ pid }) => pid)));
      break;
    case 'json-long':
      process.stdout.write(JSON.stringify(processes.map(({ pid, parentPid, uid, cpuTicks, residentBytes, command }) => ({ pid, parentPid, uid, startedAtMs: null, cpuMs: cpuTicks * msPerTick, residentBytes, command }))));
      break;
    default:
      process.stdout.write(['UID PID PPID CMD', ...processes.map(({ uid, pid, parentPid, command }) => `${uid} ${pid} ${parentPid} ${command}`), ''].join('\n'));
  }
  return 0;
}
