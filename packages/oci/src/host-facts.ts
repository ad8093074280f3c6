// Facts of this host that bear on specs, read once from /proc and /sys. Changes nothing.
import { existsSync, readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { capabilitiesOfMask } from './capabilities.ts';
import type { HostFacts } from './input.ts';
import { parseKernelVersion } from './seccomp-profile.ts';

const unlimited = 2n ** 64n - 1n;
/** Names in /proc/self/limits, and Docker's. */
const limitNames: Readonly<Record<string, string>> = {
  'Max cpu time': 'cpu', 'Max file size': 'fsize', 'Max data size': 'data', 'Max stack size': 'stack', 'Max core file size': 'core', 'Max resident set': 'rss',
  'Max processes': 'nproc', 'Max open files': 'nofile', 'Max locked memory': 'memlock', 'Max address space': 'as', 'Max file locks': 'locks', 'Max pending signals': 'sigpending',
  'Max msgqueue size': 'msgqueue', 'Max nice priority': 'nice', 'Max realtime priority': 'rtprio', 'Max realtime timeout': 'rttime',
};

/** Throws where /proc is missing or the architecture is another than x86_64 and aarch64. */
export function readHostFacts(): HostFacts {
  const status = readFileSync('/proc/self/status', 'utf8');
  const capabilities = capabilitiesOfMask(/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0');
  const cgroupVersion = existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1;
  const architecture = arch() === 'x64' ? 'amd64' : arch() === 'arm64' ? 'arm64' : null;
  if (architecture === null) throw new Error(`containers run on x86_64 and aarch64; this host is ${arch()}`);
  return {
    architecture,
    cgroupVersion,
    cgroupControllers: controllers(cgroupVersion),
    limitsSwap: cgroupVersion === 2 ? existsSync('/sys/fs/cgroup/memory.swap.max') || swapIsOn() : existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'),
    hasCapSysResource: capabilities.includes('CAP_SYS_RESOURCE'),
    oomScoreAdjMin: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
    maxRlimits: rlimits(),
    kernelVersion: parseKernelVersion(release()) ?? { major: 4, minor: 0 },
    capabilities,
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
  };
}

function controllers(version: 1 | 2): string[] {
  if (version === 2) return readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8').trim().split(/\s+/);
  // Columns: name, hierarchy, number of groups, enabled; hierarchy 0 is not mounted as version 1.
  return readFileSync('/proc/cgroups', 'utf8').split('\n').map((line) => line.split(/\s+/)).filter(([name, hierarchy, , enabled]) => name !== undefined && !name.startsWith('#') && hierarchy !== '0' && enabled === '1').map(([name]) => name as string);
}

/** With version 2 the root group has no memory.swap.max; the kernel limits swap wherever it is compiled in. */
function swapIsOn(): boolean {
  return existsSync('/proc/swaps');
}

function rlimits(): Record<string, bigint> {
  const found: Record<string, bigint> = {};
  for (const line of readFileSync('/proc/self/limits', 'utf8').split('\n').slice(1)) {
    const [title = '', , hard = ''] = line.split(/\s{2,}/);
    const name = limitNames[title];
    if (name !== undefined && hard !== '') found[name] = hard === 'unlimited' ? unlimited : BigInt(hard);
  }
  return found;
}
