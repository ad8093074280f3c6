// runv events --stats: one reading of the guest's use of things, in runc's form.
import { idOf, parseArguments } from '../arguments.ts';
import { askGuest } from '../ask-guest.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { op } from '../protocol/ops.ts';
import { u32 } from '../protocol/records.ts';
import { decodeStats } from '../protocol/replies.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['stats'], values: ['interval'] });
  if (!parsed.flags.has('stats')) throw new Failure('unsupported', 'only events --stats is there');
  const id = idOf(parsed, 'events');
  const { state, frame } = await askGuest(root, id, op.stats, op.statsReply, u32(1));
  const { memory, cpu, pids, links, block } = decodeStats(frame.payload);
  const io = (opName: string, value: number): Record<string, unknown> => ({ major: 254, minor: 0, op: opName, value });
  const data = {
    cpu: { usage: { total: cpu.user + cpu.system, kernel: cpu.system, user: cpu.user }, throttling: {} },
    memory: { cache: memory.cached, usage: { usage: memory.used, max: 0, failcnt: 0, limit: state.memoryBytes }, swap: {}, kernel: {}, kernelTCP: {}, raw: { total: memory.total, available: memory.available } },
    pids: { current: pids, limit: 0 },
    blkio: { ioServiceBytesRecursive: [io('Read', block.readBytes), io('Write', block.writtenBytes)], ioServicedRecursive: [io('Read', block.reads), io('Write', block.writes)] },
    hugetlb: {}, intel_rdt: {},
    network_interfaces: links.map(({ name, rx, tx }) => ({ Name: name, RxBytes: rx[0], RxPackets: rx[1], RxErrors: rx[2], RxDropped: rx[3], TxBytes: tx[0], TxPackets: tx[1], TxErrors: tx[2], TxDropped: tx[3] })),
  };
  process.stdout.write(`${JSON.stringify({ type: 'stats', id, data })}\n`);
  return 0;
}
