// What a guest says of its processes and of its use of things. Pure; a guest may lie, but its lies have bounds.
import { ProtocolError } from './frames.ts';
import { decodeRecords } from './records.ts';

export interface GuestProcess {
  readonly pid: number; readonly parentPid: number; readonly uid: number;
  /** Of SPAWN; 0: started by another process of the guest. */
  readonly id: number;
  /** In ticks of a hundredth of a second since the guest's boot. */
  readonly startTicks: number; readonly cpuTicks: number;
  readonly residentBytes: number;
  readonly command: string;
}

export interface GuestLink { readonly name: string; readonly rx: readonly number[]; readonly tx: readonly number[] }

export interface GuestStats {
  readonly memory: { readonly total: number; readonly available: number; readonly cached: number; readonly used: number };
  /** Nanoseconds since the guest's boot. */
  readonly cpu: { readonly user: number; readonly system: number; readonly idle: number };
  readonly pids: number;
  readonly links: readonly GuestLink[];
  readonly block: { readonly readBytes: number; readonly writtenBytes: number; readonly reads: number; readonly writes: number };
}

const numbers = (bytes: Buffer, count: number, at = 0): number[] => {
  if (bytes.length < at + 8 * count) throw new ProtocolError('a record that is too short');
  return Array.from({ length: count }, (_, index) => Number(bytes.readBigUInt64LE(at + 8 * index)));
};

/** Of PS_REPLY. */
export function decodeProcesses(payload: Buffer): GuestProcess[] {
  return decodeRecords(payload.subarray(4)).filter(({ tag }) => tag === 1).map(({ bytes }) => {
    const [startTicks = 0, cpuTicks = 0, residentBytes = 0] = numbers(bytes, 3, 16);
    return { pid: bytes.readUInt32LE(0), parentPid: bytes.readUInt32LE(4), uid: bytes.readUInt32LE(8), id: bytes.readUInt32LE(12), startTicks, cpuTicks, residentBytes, command: bytes.subarray(40).toString('utf8') };
  });
}

/** Of STATS_REPLY. What the guest does not tell is 0. */
export function decodeStats(payload: Buffer): GuestStats {
  const records = decodeRecords(payload.subarray(4));
  const of = (tag: number, count: number): number[] => {
    const found = records.find((one) => one.tag === tag);
    return found === undefined ? [] : numbers(found.bytes, count);
  };
  const [total = 0, available = 0, cached = 0, used = 0] = of(1, 4);
  const [user = 0, system = 0, idle = 0] = of(2, 3);
  const [pids = 0] = of(3, 1);
  const [readBytes = 0, writtenBytes = 0, reads = 0, writes = 0] = of(5, 4);
  const links = records.filter(({ tag }) => tag === 4).map(({ bytes }): GuestLink => {
    const counts = numbers(bytes, 8);
    return { name: bytes.subarray(64).toString('utf8'), rx: counts.slice(0, 4), tx: counts.slice(4) };
  });
  return { memory: { total, available, cached, used }, cpu: { user, system, idle }, pids, links, block: { readBytes, writtenBytes, reads, writes } };
}
