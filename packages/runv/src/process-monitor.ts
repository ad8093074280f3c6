// This process becomes the monitor of a further process in a machine (pouch-monitor, role process), with its own stdin, stdout and stderr. Chooses no process.
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { monitorPath } from '@pouch/native';
import { Failure } from './failure.ts';
import type { Globals } from './globals.ts';
import { configText, monitorEnvironment } from './monitor-config.ts';
import type { placesOf } from './places.ts';
import type { ContainerState } from './state.ts';

const startTimeoutMs = 30_000;

/** Returns only by throwing: nothing is left then. `payload`: of SPAWN; `settings`: lines of the monitor's configuration beside the usual ones. */
export function becomeProcessMonitor(
  { log, logFormat }: Pick<Globals, 'log' | 'logFormat'>, { stateDir, monitorSocket }: ReturnType<typeof placesOf>, { cgroups }: Pick<ContainerState, 'cgroups'>, payload: Buffer, settings: Parameters<typeof configText>[0],
): never {
  const name = join(stateDir, `exec-${process.pid}`);
  try {
    writeFileSync(`${name}.bin`, payload, { mode: 0o600 });
    writeFileSync(`${name}.conf`, configText([
      ['role', 'process'], ['socket', monitorSocket], ['spawn', `${name}.bin`], ['stdin', 1], ['boot-timeout-ms', startTimeoutMs], ['transient', 1],
      ...(log === undefined ? [] : [['log', resolve(log)], ['log-json', logFormat === 'json' ? 1 : 0]] as const),
      ...settings,
      ...cgroups.map((directory) => ['cgroup', join(directory, 'cgroup.procs')] as const),
    ]), { mode: 0o600 });
    process.execve?.(monitorPath, [monitorPath, '--config', `${name}.conf`], monitorEnvironment);
    throw new Failure('machine', `${monitorPath} cannot be run: this Node has no execve`);
  } catch (error) {
    for (const suffix of ['bin', 'conf']) rmSync(`${name}.${suffix}`, { force: true });
    throw error;
  }
}
