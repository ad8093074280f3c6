// Takes away what a create left that did not get to its end; a container that is created is deleted by runv's front. Every step may have been done before.
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeCgroups } from './cgroups.ts';
import { Failure, hasCode } from './failure.ts';
import { placesOf } from './places.ts';
import { findState } from './state.ts';

const endMs = 10_000;

/** A create that was killed between its monitor's start and the note of it: only the monitor's command line tells whose it is. With it ends its QEMU. */
async function endUnnoted(configPath: string): Promise<void> {
  for (const deadline = performance.now() + endMs; performance.now() < deadline; await delay(5)) {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && argumentsOf(name).includes(configPath));
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch (error) {
        if (!hasCode(error, 'ESRCH')) throw error; // it has just ended
      }
    }
  }
  throw new Failure('machine', `the monitor with the configuration ${configPath} does not end`, { retryable: true });
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return []; // gone while we looked
    throw error;
  }
}

/** A record without a monitor, or none at all, which is no fault when `force`d. Throws `does-not-exist`, `wrong-state`, `machine`. */
export async function deleteContainer(root: string, id: string, force: boolean): Promise<void> {
  const { socketDir, stateDir } = placesOf(root, id);
  const state = findState(root, id);
  if (state === undefined && !force) throw new Failure('does-not-exist', `container "${id}" does not exist`);
  if (state !== undefined) {
    if (state.pid !== 0) throw new Failure('machine', `${stateDir}/state.json is not what this runv writes`);
    if (!force) throw new Failure('wrong-state', `cannot delete container ${id} that is not stopped: creating`);
    await endUnnoted(join(stateDir, 'monitor.conf'));
    await removeCgroups(state.cgroups);
  }
  await rm(socketDir, { recursive: true, force: true });
  await rm(stateDir, { recursive: true, force: true });
}
