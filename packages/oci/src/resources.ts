// Limits, from Docker's words to the runtime's, within what the host can enforce. Pure.
import type { HostFacts, ResourceLimits } from './input.ts';
import type { Findings } from './refusal.ts';
import type { DeviceRule, Resources, Rlimit } from './runtime-spec.ts';

const mib = 1024 * 1024;
/** Docker's least memory limit: with less the runtime's own init does not start. */
export const minMemoryBytes = 6 * mib;
/** Microseconds; Docker's period for `--cpus`. */
const cpuPeriodUs = 100_000;
/** The kernel's least quota is 1 ms. */
const minNanoCpus = 1e7;
const unlimited = 2n ** 64n - 1n;

const rlimitNames = ['as', 'core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss', 'rtprio', 'rttime', 'sigpending', 'stack'];

export function buildResources(limits: ResourceLimits, devices: DeviceRule[], host: HostFacts, findings: Findings): Resources {
  const memory = memoryOf(limits, host, findings);
  const cpu = cpuOf(limits, host, findings);
  const pidsLimit = limits.pidsLimit ?? 0;
  const has = (controller: string) => host.cgroupControllers.includes(controller);
  if (pidsLimit > 0 && !has('pids')) findings.warn('this host has no pids controller: the limit of processes does not take effect');
  return {
    devices,
    ...(memory !== undefined && { memory }),
    ...(cpu !== undefined && { cpu }),
    ...(pidsLimit > 0 && has('pids') && { pids: { limit: pidsLimit } }),
    ...(limits.blkioWeight ? { blockIO: { weight: limits.blkioWeight } } : {}),
  };
}

function memoryOf(limits: ResourceLimits, host: HostFacts, findings: Findings): Resources['memory'] | undefined {
  const limit = limits.memoryBytes ?? 0;
  const swap = limits.memorySwapBytes ?? 0;
  const reservation = limits.memoryReservationBytes ?? 0;
  if (limit < 0 || (limit > 0 && limit < minMemoryBytes)) findings.refuse('HostConfig.Memory', `the memory limit is ${limit} bytes: it must be at least ${minMemoryBytes} (6 MiB), or 0 for none`);
  if (swap > 0 && limit === 0) findings.refuse('HostConfig.MemorySwap', 'a swap limit needs a memory limit beside it: set Memory too');
  if (swap > 0 && swap < limit) findings.refuse('HostConfig.MemorySwap', `MemorySwap is memory and swap together: ${swap} must not be less than Memory, ${limit}`);
  if (limit === 0 && reservation === 0) return undefined;
  if (!host.cgroupControllers.includes('memory')) {
    findings.warn('this host has no memory controller: the memory limit does not take effect');
    return undefined;
  }
  const total = swap === 0 ? limit * 2 : swap;
  const limitsSwap = limit > 0 && host.limitsSwap;
  if (limit > 0 && swap > 0 && !host.limitsSwap) findings.warn('this host cannot limit swap: memory is limited without it');
  return { ...(limit > 0 && { limit }), ...(reservation > 0 && { reservation }), ...(limitsSwap && { swap: total }) };
}

function cpuOf(limits: ResourceLimits, host: HostFacts, findings: Findings): Resources['cpu'] | undefined {
  const nanoCpus = limits.nanoCpus ?? 0;
  const shares = limits.cpuShares ?? 0;
  if (nanoCpus !== 0 && (nanoCpus < minNanoCpus || nanoCpus > host.cpuCount * 1e9)) {
    findings.refuse('HostConfig.NanoCpus', `CPUs must be from 0.01 to ${host.cpuCount}.00, as the host has ${host.cpuCount}: ${nanoCpus / 1e9} is not`);
  }
  if (shares < 0) findings.refuse('HostConfig.CpuShares', `CPU shares must not be negative: ${shares}`);
  checkSet('HostConfig.CpusetCpus', limits.cpusetCpus ?? '', host.cpuCount - 1, findings);
  const cpu = {
    ...(shares > 0 && { shares }),
    ...(nanoCpus > 0 && { quota: Math.round((nanoCpus * cpuPeriodUs) / 1e9), period: cpuPeriodUs }),
    ...(limits.cpusetCpus ? { cpus: limits.cpusetCpus } : {}),
    ...(limits.cpusetMems ? { mems: limits.cpusetMems } : {}),
  };
  return Object.keys(cpu).length === 0 ? undefined : cpu;
}

function checkSet(field: string, set: string, highest: number, findings: Findings): void {
  if (set === '') return;
  for (const part of set.split(',')) {
    const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const last = Number(to ?? from);
    if (from === undefined || last < Number(from)) return findings.refuse(field, `${JSON.stringify(set)} is not a list of CPUs: it must be like 0-2,4`);
    if (last > highest) return findings.refuse(field, `the host has CPUs 0 to ${highest}: ${JSON.stringify(part)} is not among them`);
  }
}

/** Ulimits as the runtime takes them; above the host's own hard limits only where the host may raise them. */
export function buildRlimits(ulimits: NonNullable<ResourceLimits['ulimits']>, host: HostFacts, findings: Findings): Rlimit[] {
  return ulimits.flatMap(({ name, soft, hard }) => {
    if (!rlimitNames.includes(name)) {
      findings.refuse('HostConfig.Ulimits', `unknown ulimit ${JSON.stringify(name)}: known are ${rlimitNames.join(', ')}`);
      return [];
    }
    const asked = { soft: soft < 0 ? unlimited : BigInt(Math.trunc(soft)), hard: hard < 0 ? unlimited : BigInt(Math.trunc(hard)) };
    if (asked.soft > asked.hard) findings.refuse('HostConfig.Ulimits', `ulimit ${name}: the soft limit ${soft} is above the hard limit ${hard}`);
    const ceiling = host.hasCapSysResource ? unlimited : (host.maxRlimits[name] ?? unlimited);
    if (asked.hard > ceiling) findings.warn(`ulimit ${name}: this host allows ${ceiling} at most`);
    const least = (a: bigint, b: bigint) => (a < b ? a : b);
    return [{ type: `RLIMIT_${name.toUpperCase()}`, soft: least(asked.soft, ceiling), hard: least(asked.hard, ceiling) }];
  });
}

/** The asked score, or the lowest one that this host may set. */
export function buildOomScoreAdj(asked: number, host: HostFacts, findings: Findings): number {
  if (!Number.isInteger(asked) || asked < -1000 || asked > 1000) findings.refuse('HostConfig.OomScoreAdj', `the score must be from -1000 to 1000: ${asked} is not`);
  if (host.hasCapSysResource || asked >= host.oomScoreAdjMin) return asked;
  if (asked < 0) findings.warn(`OomScoreAdj: this host allows ${host.oomScoreAdjMin} at the least`);
  return host.oomScoreAdjMin;
}
