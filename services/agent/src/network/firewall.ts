// Rules that hold for the whole bridge: its containers reach the outside, and their traffic is forwarded. One rule for all instead of some per container,
// which makes a start quicker. Each rule names the bridge, so that it can be found and removed with it.
import { OperatingError } from '@pouch/process';
import { execute } from './cni.ts';

export interface FirewallOptions {
  readonly bridge: string;
  readonly subnet: string;
  /** PATH to find iptables on. */
  readonly path: string;
}

/** Makes sure of the rules; doing it again changes nothing. */
export async function ensureFirewall({ bridge, subnet, path }: FirewallOptions): Promise<void> {
  const comment = ['-m', 'comment', '--comment', `pouch ${bridge}`];
  const rules: readonly (readonly string[])[] = [
    ['nat', 'POSTROUTING', '-s', subnet, '!', '-o', bridge, ...comment, '-j', 'MASQUERADE'],
    ['filter', 'FORWARD', '-i', bridge, ...comment, '-j', 'ACCEPT'],
    ['filter', 'FORWARD', '-o', bridge, ...comment, '-j', 'ACCEPT'],
  ];
  for (const [table = '', chain = '', ...rule] of rules) {
    const present = await iptables(path, ['-t', table, '-C', chain, ...rule]);
    if (present.code === 0) continue;
    const { code, stderr } = await iptables(path, ['-t', table, '-I', chain, ...rule]);
    if (code !== 0) throw new OperatingError('network', `iptables could not set up the bridge ${bridge}: ${stderr.trim()}`, { retryable: true });
  }
}

async function iptables(path: string, args: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  try {
    return await execute('iptables', { args: ['-w', '10', ...args], env: { PATH: path } });
  } catch (error) {
    throw new OperatingError('network', 'iptables cannot be run: is it installed?', { cause: error });
  }
}
