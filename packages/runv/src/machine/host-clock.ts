// How fast this host's time stamp counter runs: what a guest under TCG is told, because measuring it itself may hang.
import { readFile } from 'node:fs/promises';

/**
 * From /proc/cpuinfo: under a hypervisor `cpu MHz` is the counter's rate; on bare metal that is the clock of the moment, and the rate is the
 * nominal one in the model's name. 0 when neither is there. Pure.
 */
export function tscKHzOf(cpuinfo: string): number {
  const now = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1] ?? 0) * 1000;
  const nominal = Number(/^model name\s*:.*@\s*([\d.]+)\s*GHz/m.exec(cpuinfo)?.[1] ?? 0) * 1_000_000;
  const virtual = /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo);
  return Math.round(virtual || nominal === 0 ? now : nominal);
}

/** In kHz; 0: unknown. */
export async function hostTscKHz(): Promise<number> {
  const exact = await readFile('/sys/devices/system/cpu/cpu0/tsc_freq_khz', 'utf8').catch(() => ''); // few kernels tell it
  return Number.parseInt(exact, 10) || tscKHzOf(await readFile('/proc/cpuinfo', 'utf8'));
}
