// What this host is and can do, as the cluster is told. It looks, and changes nothing.
import { execFile } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, hostname, networkInterfaces, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { Containerd } from '@pouch/containerd';
import type { HostFacts } from '@pouch/domain';
import type { AgentConfig } from './config.ts';

const run = promisify(execFile);
const programTimeoutMs = 10_000;
const cgroup2Magic = 0x63677270;
const capSysResource = 24;

export const agentVersion = '0.1.0';

/** Reads everything anew; takes as long as asking containerd and one runtime for their versions. */
export async function hostFacts(config: AgentConfig, containerd: Containerd): Promise<HostFacts> {
  const runc = config.runtimes.find(({ name }) => name === 'runc');
  const [version, runcVersion] = await Promise.all([containerd.version(), runtimeVersion(runc?.path ?? 'runc', config.path)]);
  const cgroupVersion = cgroups();
  return {
    hostname: hostname(),
    address: config.address ?? ownAddress(),
    labels: config.labels,
    capacity: { cpuNanos: cpus().length * 1e9, memoryBytes: totalmem(), ...maxPids() },
    platform: { os: 'linux', architecture: architecture(), osName: osName(), kernelVersion: release(), cgroupVersion },
    runtimes: config.runtimes,
    versions: { agent: agentVersion, containerd: version.version, runc: runcVersion },
    warnings: warnings(cgroupVersion, runcVersion),
  };
}

/** Processes and threads that the kernel can have at once. */
function maxPids(): { pids?: number } {
  try {
    const pids = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));
    return Number.isSafeInteger(pids) && pids > 0 ? { pids } : {};
  } catch {
    return {}; // not said
  }
}

/** When the kernel began, in ms since 1970, as exact as a second; 0 where it does not say. */
export function bootedAtMs(): number {
  return 1_000 * Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? 0);
}

export function architecture(): 'amd64' | 'arm64' {
  return arch() === 'arm64' ? 'arm64' : 'amd64';
}

export function cgroups(): 1 | 2 {
  try {
    return statfsSync('/sys/fs/cgroup').type === cgroup2Magic ? 2 : 1;
  } catch {
    return 1; // not mounted: the warning below says what is missing
  }
}

async function runtimeVersion(path: string, searchPath: string): Promise<string> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: programTimeoutMs, env: { PATH: searchPath } });
    return /version\s+(\S+)/.exec(stdout)?.[1] ?? stdout.split('\n')[0] ?? '';
  } catch {
    return ''; // not installed; `warnings` says so
  }
}

function osName(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? 'Linux';
  } catch {
    return 'Linux'; // a host without the file
  }
}

/** The first address that others can reach; 127.0.0.1 where there is none. */
function ownAddress(): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (/^(?:lo|docker|br-|veth|pouch|cni|virbr)/.test(name)) continue;
    const found = addresses?.find(({ family, internal }) => family === 'IPv4' && !internal);
    if (found !== undefined) return found.address;
  }
  return '127.0.0.1';
}

function warnings(cgroupVersion: 1 | 2, runcVersion: string): string[] {
  const found: string[] = [];
  if (runcVersion === '') found.push('runc is not installed or does not answer: containers with the runtime runc cannot start');
  if (!hasCapability(capSysResource)) found.push('CAP_SYS_RESOURCE is missing: oom scores and ulimits are clamped to what this host allows');
  if (cgroupVersion === 1 && isHybrid()) found.push('cgroups are in hybrid mode with controllers on the version 2 side: crun refuses to run here');
  if (cgroupVersion === 1) found.push('cgroup version 1 is in use; version 2 is recommended');
  try {
    if (readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() !== '1') found.push('IPv4 forwarding is disabled: containers on the bridge reach nothing outside until it is enabled');
  } catch {
    // no IPv4 on this host: the bridge will say so
  }
  return found;
}

function hasCapability(number: number): boolean {
  const bits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${bits}`) >> BigInt(number) & 1n) === 1n;
}

function isHybrid(): boolean {
  try {
    return readFileSync('/sys/fs/cgroup/unified/cgroup.controllers', 'utf8').trim() !== '';
  } catch {
    return false; // no version 2 side
  }
}
