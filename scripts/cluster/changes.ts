// What a caller wants of a cluster otherwise than it is, and what of that its processes can be started anew with. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { ClusterConfig, ClusterOptions } from './options.ts';

/** What may be asked for otherwise, and the flag of each. `false`: containers have it of their host, so they must be stopped before. */
const flags = {
  socket: ['--socket', true], tcp: ['--tcp', true], natsPort: ['--nats-port', true], natsCluster: ['--address and --servers', true], sync: ['--sync', true], logLevel: ['--log-level', true],
  bridge: ['--bridge', false], subnet: ['--subnet', false], hostId: ['--host-id', false], data: ['--data', false], logs: ['--logs', false],
} as const satisfies Partial<Record<keyof ClusterConfig, readonly [flag: string, whileContainersRun: boolean]>>;

export interface Changes {
  /** Flags whose values the processes have to be started anew for. */
  readonly anew: readonly string[];
  /** Flags whose values cannot change while containers run. */
  readonly fixed: readonly string[];
}

/** Of what was given; what was not is as it is. `wanted`: the options with every gap filled. */
export function changesOf(running: ClusterConfig, options: ClusterOptions, wanted: ClusterConfig): Changes {
  const changed = (Object.keys(flags) as (keyof typeof flags)[]).filter((key) => options[key] !== undefined && !(key === 'natsPort' && options.natsPort === 0) && !isDeepStrictEqual(wanted[key], running[key]));
  const of = (whileContainersRun: boolean): string[] => changed.filter((key) => flags[key][1] === whileContainersRun).map((key) => flags[key][0]);
  return { anew: of(true), fixed: of(false) };
}

/** Options that lead to the same cluster. */
function optionsOf({ tcp, hostId, natsCluster, joined, namespace, ...rest }: ClusterConfig): ClusterOptions {
  return { ...rest, tcp: tcp ?? undefined, hostId: hostId ?? undefined, natsCluster: natsCluster ?? undefined, joined: joined ?? undefined, namespace: namespace ?? undefined };
}

/** `options` on top of those that a cluster has. */
export function onTop(config: ClusterConfig, options: ClusterOptions): ClusterOptions {
  return { ...optionsOf(config), ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) };
}
