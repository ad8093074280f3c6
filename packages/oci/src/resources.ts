// Limits, from Docker's words to the runtime's, within what the host can enforce. Pure.
import type { HostFacts, ResourceLimits } from './input.ts';
import type { Findings } from './refusal.ts';
import type { DeviceRule, Resources, Rlimit } from './runtime-spec.ts';

const mib = 1024 * 1024;
/** Docker's least memory limit: with less the runtime's own init does not start. */
export const minMemoryBytes = 6 * mib;
/** Bounds of cpu.shares in the kernel; the runtime fails where the kernel took another value than it was given. */
const minShares = 2;
const maxShares = 262_144;
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
  if (!Number.isSafeInteger(pidsLimit) || pidsLimit < -1) findings.refuse('HostConfig.PidsLimit', `the limit of processes is a number, or -1 for none: ${pidsLimit} is not`);
  const weight = limits.blkioWeight ?? 0;
  if (weight !== 0 && !(Number.isInteger(weight) && weight >= 10 && weight <= 1000)) findings.refuse('HostConfig.BlkioWeight', `the weight must be from 10 to 1000: ${weight} is not`);
  return {
    devices,
    ...(memory !== undefined && { memory }),
    ...(cpu !== undefined && { cpu }),
    ...(pidsLimit > 0 && keeps(host, ['pids'], 'the limit of processes', findings) && { pids: { limit: pidsLimit } }),
    ...(weight > 0 && keeps(host, ['blkio', 'io'], 'the weight of block input and output', findings) && { blockIO: { weight } }),
  };
}

/** Whether the host has one of these controllers; if not, says that the setting is left out. */
function keeps(host: HostFacts, controllers: readonly string[], what: string, findings: Findings): boolean {
  if (controllers.some((name) => host.cgroupControllers.includes(name))) return true;
  findings.warn(`this host has no ${controllers.join(' or ')} controller: ${what} does not take effect`);
  return false;
}

function memoryOf(limits: ResourceLimits, host: HostFacts, findings: Findings): Resources['memory'] | undefined {
  const limit = limits.memoryBytes ?? 0;
  const swap = limits.memorySwapBytes ?? 0;
  const reservation = limits.memoryReservationBytes ?? 0;
  if (!Number.isSafeInteger(limit) || limit < 0 || (limit > 0 && limit < minMemoryBytes)) findings.refuse('HostConfig.Memory', `the memory limit is ${limit} bytes: it must be at least ${minMemoryBytes} (6 MiB), or 0 for none`);
  if (!Number.isSafeInteger(swap) || swap < -1) findings.refuse('HostConfig.MemorySwap', `MemorySwap is a number of bytes, or -1 for no limit: ${swap} is not`);
  if (swap > 0 && limit === 0) findings.refuse('HostConfig.MemorySwap', 'a swap limit needs a memory limit beside it: set Memory too');
  if (swap > 0 && swap < limit) findings.refuse('HostConfig.MemorySwap', `MemorySwap is memory and swap together: ${swap} must not be less than Memory, ${limit}`);
  if (!Number.isSafeInteger(reservation) || reservation < 0 || (reservation > 0 && reservation < minMemoryBytes)) findings.refuse('HostConfig.MemoryReservation', `the memory reservation is ${reservation} bytes: it must be at least ${minMemoryBytes} (6 MiB), or 0 for none`);
  if (limit > 0 && reservation > limit) findings.refuse('HostConfig.MemoryReservation', `the memory reservation, ${reservation}, must not be more than the memory limit, ${limit}`);
  if (limit === 0 && reservation === 0) return undefined;
  if (!keeps(host, ['memory'], 'the memory limit', findings)) return undefined;
  const total = swap === 0 ? limit * 2 : swap;
  const limitsSwap = limit > 0 && host.limitsSwap;
  if (limit > 0 && swap > 0 && !host.limitsSwap) findings.warn('this host cannot limit swap: memory is limited without it');
  return { ...(limit > 0 && { limit }), ...(reservation > 0 && { reservation }), ...(limitsSwap && { swap: total }) };
}

function cpuOf(limits: ResourceLimits, host: HostFacts, findings: Findings): Resources['cpu'] | undefined {
  const nanoCpus = limits.nanoCpus ?? 0;
  const shares = limits.cpuShares ?? 0;
  if (nanoCpus !== 0 && !(nanoCpus >= minNanoCpus && nanoCpus <= host.cpuCount * 1e9)) {
    findings.refuse('HostConfig.NanoCpus', `CPUs must be from 0.01 to ${host.cpuCount}.00, as the host has ${host.cpuCount}: ${nanoCpus / 1e9} is not`);
  }
  if (!Number.isSafeInteger(shares) || shares < 0) findings.refuse('HostConfig.CpuShares', `CPU shares must be a whole number and not negative: ${shares}`);
  const kernelShares = Math.min(maxShares, Math.max(minShares, shares));
  if (shares > 0 && kernelShares !== shares) findings.warn(`CpuShares: the kernel takes ${minShares} to ${maxShares}, so ${shares} becomes ${kernelShares}`);
  checkSet('HostConfig.CpusetCpus', limits.cpusetCpus ?? '', host.cpuCount - 1, findings);
  // How many memory nodes there are is no fact that we have: the form is checked, the rest is the kernel's to say.
  checkSet('HostConfig.CpusetMems', limits.cpusetMems ?? '', Number.POSITIVE_INFINITY, findings);
  const cpu = {
    ...(shares > 0 && keeps(host, ['cpu'], 'the share of the CPUs', findings) && { shares: kernelShares }),
    ...(nanoCpus > 0 && keeps(host, ['cpu'], 'the limit of CPUs', findings) && { quota: Math.round((nanoCpus * cpuPeriodUs) / 1e9), period: cpuPeriodUs }),
    ...(limits.cpusetCpus && keeps(host, ['cpuset'], 'the choice of CPUs', findings) ? { cpus: limits.cpusetCpus } : {}),
    ...(limits.cpusetMems && keeps(host, ['cpuset'], 'the choice of memory nodes', findings) ? { mems: limits.cpusetMems } : {}),
  };
  return Object.keys(cpu).length === 0 ? undefined : cpu;
}

function checkSet(field: string, set: string, highest: number, findings: Findings): void {
  if (set === '') return;
  for (const part of set.split(',')) {
    const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const last = Number(to ?? from);
    if (from === undefined || last < Number(from)) return findings.refuse(field, `${JSON.stringify(set)} is not a list of numbers: it must be like 0-2,4`);
    if (last > highest) return findings.refuse(field, `the host has CPUs 0 to ${highest}: ${JSON.stringify(part)} is not among them`);
  }
}

/** Ulimits as the runtime takes them; above the host's own hard limits only where the host may raise them. */
export function buildRlimits(ulimits: NonNullable<ResourceLimits['ulimits']>, host: HostFacts, findings: Findings): Rlimit[] {
  // A name said twice is an error to the runtime: the last one holds, as everywhere in Docker.
  const last = new Map(ulimits.map((ulimit) => [ulimit.name, ulimit]));
  return [...last.values()].flatMap(({ name, soft, hard }) => {
    if (!rlimitNames.includes(name)) {
      findings.refuse('HostConfig.Ulimits', `unknown ulimit ${JSON.stringify(name)}: known are ${rlimitNames.join(', ')}`);
      return [];
    }
    if (![soft, hard].every((value) => Number.isSafeInteger(value) && value >= -1)) {
      findings.refuse('HostConfig.Ulimits', `ulimit ${name}: limits are whole numbers, or -1 for unlimited`);
      return [];
    }
    const asked = { soft: soft < 0 ? unlimited : BigInt(soft), hard: hard < 0 ? unlimited : BigInt(hard) };
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
