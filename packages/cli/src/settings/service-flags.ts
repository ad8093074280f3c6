// From the flags of `pouch service` to the members of its bodies. Pure; says only what was asked for.
import type { ClusterServiceUpdateBody, RolloutBody } from '@pouch/contracts';
import { UsageError } from '../errors.ts';
import { healthcheck, type HealthFlags } from './health.ts';
import { shellWords, toBytes, toDuration, toInteger, toNanoCpus, toRecord } from './values.ts';

export interface ServiceFlags extends HealthFlags {
  readonly detach?: boolean;
  readonly force?: boolean;
  readonly replicas?: string;
  readonly serviceLabel?: readonly string[];
  readonly updateParallelism?: string;
  readonly updateDelay?: string;
  readonly updateOrder?: string;
  readonly updateMonitor?: string;
  readonly updateFailureAction?: string;
  readonly updateMaxFailureRatio?: string;
  readonly rollbackParallelism?: string;
  readonly rollbackDelay?: string;
  readonly rollbackOrder?: string;
  readonly rollbackMonitor?: string;
  readonly rollbackFailureAction?: string;
  readonly rollbackMaxFailureRatio?: string;
  readonly restartCondition?: string;
  readonly restartDelay?: string;
  readonly restartMaxAttempts?: string;
  /** Of update only. */
  readonly image?: string;
  readonly args?: string;
  readonly envAdd?: readonly string[];
  readonly envRm?: readonly string[];
  readonly limitMemory?: string;
  readonly limitCpu?: string;
  readonly runtime?: string;
}

type Settings = Pick<ClusterServiceUpdateBody, 'replicas' | 'labels' | 'update' | 'rollback' | 'restart'>;

export function serviceSettings(flags: ServiceFlags): Settings {
  const update = rollout(flags, 'update');
  const rollback = rollout(flags, 'rollback');
  const restart = {
    ...(flags.restartCondition === undefined ? {} : { condition: flags.restartCondition as 'any' }),
    ...(flags.restartDelay === undefined ? {} : { delayMs: toDuration('--restart-delay', flags.restartDelay) }),
    ...(flags.restartMaxAttempts === undefined ? {} : { maxAttempts: toInteger('--restart-max-attempts', flags.restartMaxAttempts) }),
  };
  return {
    ...(flags.replicas === undefined ? {} : { replicas: toInteger('--replicas', flags.replicas) }),
    ...(flags.serviceLabel === undefined ? {} : { labels: toRecord('--service-label', flags.serviceLabel) }),
    ...(Object.keys(update).length === 0 ? {} : { update }),
    ...(Object.keys(rollback).length === 0 ? {} : { rollback }),
    ...(Object.keys(restart).length === 0 ? {} : { restart }),
  };
}

function rollout(flags: ServiceFlags, which: 'update' | 'rollback'): RolloutBody {
  const given = (name: string): string | undefined => flags[`${which}${name}` as keyof ServiceFlags] as string | undefined;
  const flag = (name: string): string => `--${which}-${name}`;
  const [parallelism, delay, order, monitor, action, ratio] = ['Parallelism', 'Delay', 'Order', 'Monitor', 'FailureAction', 'MaxFailureRatio'].map(given);
  return {
    ...(parallelism === undefined ? {} : { parallelism: toInteger(flag('parallelism'), parallelism) }),
    ...(delay === undefined ? {} : { delayMs: toDuration(flag('delay'), delay) }),
    ...(order === undefined ? {} : { order: order as 'stop-first' }),
    ...(monitor === undefined ? {} : { monitorMs: toDuration(flag('monitor'), monitor) }),
    ...(action === undefined ? {} : { onFailure: action as 'pause' }),
    ...(ratio === undefined ? {} : { maxFailureRatio: toRatio(flag('max-failure-ratio'), ratio) }),
  };
}

function toRatio(flag: string, text: string): number {
  const ratio = Number(text);
  if (text.trim() === '' || !(ratio >= 0 && ratio <= 1)) throw new UsageError(`${flag} ${text}: it must be a number from 0 to 1`);
  return ratio;
}

/** What of the template an update changes. `before`: the create body that the service was made from. */
export function toChanges(flags: ServiceFlags, before: { readonly Env?: unknown; readonly Healthcheck?: unknown }): Pick<ClusterServiceUpdateBody, 'template' | 'runtimes' | 'force'> {
  const runtimes = flags.runtime?.split(',');
  const host = {
    ...(flags.limitMemory === undefined ? {} : { Memory: toBytes('--limit-memory', flags.limitMemory) }),
    ...(flags.limitCpu === undefined ? {} : { NanoCpus: toNanoCpus(flags.limitCpu) }),
  };
  const health = healthcheck(flags);
  const template = {
    ...(flags.image === undefined ? {} : { Image: flags.image }),
    ...(flags.args === undefined ? {} : { Cmd: shellWords('--args', flags.args) }),
    ...(flags.envAdd === undefined && flags.envRm === undefined ? {} : { Env: changedEnv(Array.isArray(before.Env) ? (before.Env as string[]) : [], flags.envAdd ?? [], flags.envRm ?? []) }),
    // A word more about a check leaves the rest of it; none is said whole.
    ...(Object.keys(health).length === 0 ? {} : { Healthcheck: flags.healthcheck === false ? health : { ...(before.Healthcheck as object | undefined), ...health } }),
    ...(Object.keys(host).length === 0 ? {} : { HostConfig: host }),
  };
  return { ...(flags.force === true ? { force: true } : {}), ...(runtimes === undefined ? {} : { runtimes }), ...(Object.keys(template).length === 0 ? {} : { template }) };
}

function changedEnv(before: readonly string[], add: readonly string[], remove: readonly string[]): string[] {
  const nameOf = (entry: string): string => entry.split('=')[0] ?? '';
  const gone = new Set([...add.map(nameOf), ...remove]);
  return [...before.filter((entry) => !gone.has(nameOf(entry))), ...add];
}
