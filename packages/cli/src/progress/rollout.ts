// What becomes of a service after it was created or changed, told as it goes: until its replicas run and its update is over, or has stopped.
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterService } from '@pouch/contracts';
import { segment, type EngineClient } from '../engine/client.ts';

const lookMs = 500;

/** Resolves with the exit code: 1 where an update was paused or rolled back. Ctrl-C leaves; the cluster goes on. */
export async function followRollout(client: EngineClient, name: string): Promise<number> {
  let told = '';
  for (;;) {
    const service = await client.json<ClusterService>('GET', `/cluster/services/${segment(name)}`);
    const text = progressText(service);
    if (text !== told) process.stderr.write(`${text}\n`);
    told = text;
    const code = endOf(service);
    if (code !== null) return code;
    await delay(lookMs);
  }
}

export function progressText({ name, running, replicas, updated, rollout, tasks }: ClusterService): string {
  const waits = tasks.find(({ state, desired, message }) => state === 'pending' && desired === 'running' && message !== '');
  const failed = tasks.find(({ state, message }) => state === 'failed' && message !== '');
  const goesOn = rollout?.endedAtMs === null;
  const what = goesOn ? `${updated}/${replicas} ${rollout.state === 'updating' ? 'updated' : 'rolled back'}, ${running} running` : `${running}/${replicas} running`;
  const why = rollout !== null && (rollout.state === 'paused' || rollout.state.startsWith('rollback')) ? `; ${rollout.message}` : '';
  const reason = running >= replicas && !goesOn ? undefined : (waits?.message ?? failed?.message);
  return `${name}: ${what}${why}${reason === undefined ? '' : ` (${reason})`}`;
}

const over = ['shutdown', 'failed', 'complete', 'orphaned'];

/** Null: it goes on. */
export function endOf(service: ClusterService): number | null {
  const { rollout, state, tasks } = service;
  if (state === 'removing') return 1;
  if (rollout?.state === 'paused' || rollout?.state === 'rollback_paused') return 1;
  if (rollout !== null && rollout.endedAtMs === null) return null;
  if (tasks.some(({ desired, state: now }) => desired === 'shutdown' && !over.includes(now)) || !isWhole(service)) return null;
  return rollout?.state === 'rollback_completed' ? 1 : 0;
}

/** Each slot has a replica that runs, or one that has ended and is to have no other; and no further slot has any. */
function isWhole({ replicas, tasks, restart: { condition } }: ClusterService): boolean {
  if (tasks.some(({ slot, desired }) => desired === 'running' && slot > replicas)) return false;
  for (let slot = 1; slot <= replicas; slot++) {
    const ofSlot = tasks.filter((task) => task.slot === slot);
    const now = ofSlot.find(({ desired }) => desired === 'running');
    const last = ofSlot.find(({ desired }) => desired === 'shutdown');
    const isDone = now === undefined && (condition === 'none' || (condition === 'on-failure' && last?.state === 'complete')) && last !== undefined;
    if (now?.state !== 'running' && !isDone) return false;
  }
  return true;
}
