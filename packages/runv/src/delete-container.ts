// Takes a container away: its machine if forced, its cgroup, its places, its record. Every step may have been done before.
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeCgroups } from './cgroups.ts';
import { Failure, hasCode } from './failure.ts';
import { runLateHooks } from './hooks.ts';
import { MonitorClient } from './monitor-client.ts';
import { placesOf } from './places.ts';
import { op } from './protocol/ops.ts';
import { findState, monitorLives, statusOf, type ContainerState } from './state.ts';

const endMs = 10_000;

async function endMachine(root: string, state: ContainerState): Promise<void> {
  const client = await MonitorClient.connect(placesOf(root, state.id).monitorSocket);
  if (client !== undefined) {
    await client.ask([{ op: op.stopNow }], op.stopNow, 2_000).catch(() => undefined); // its end is what counts, and is waited for
    client.close();
  }
  const deadline = performance.now() + endMs;
  while (monitorLives(state)) {
    // A consumer that takes nothing holds the monitor up: QEMU ends with it.
    if (performance.now() > deadline - endMs + 2_000) process.kill(state.pid, 'SIGKILL');
    if (performance.now() > deadline) throw new Failure('machine', `the machine's monitor (pid ${state.pid}) does not end`, { retryable: true });
    await delay(5);
  }
}

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

export async function deleteContainer(root: string, id: string, force: boolean): Promise<void> {
  const places = placesOf(root, id);
  const state = findState(root, id);
  if (state === undefined) {
    if (!force) throw new Failure('does-not-exist', `container "${id}" does not exist`);
    await rm(places.socketDir, { recursive: true, force: true });
    await rm(places.stateDir, { recursive: true, force: true });
    return;
  }
  const status = statusOf(root, state);
  if (status === 'stopped' || force) {
    if (monitorLives(state)) await endMachine(root, state);
  } else if (status === 'created') {
    await endMachine(root, state); // as runc: a container that never ran
  } else {
    throw new Failure('wrong-state', `cannot delete container ${id} that is not stopped: ${status}`);
  }
  if (status === 'creating') await endUnnoted(join(places.stateDir, 'monitor.conf'));
  await removeCgroups(state.cgroups);
  await rm(places.socketDir, { recursive: true, force: true });
  await rm(places.stateDir, { recursive: true, force: true });
  await runLateHooks('poststop', state.hooks, { ociVersion: state.ociVersion, id, status: 'stopped', pid: 0, bundle: state.bundle, annotations: state.annotations });
}
