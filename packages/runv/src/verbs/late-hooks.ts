// runv late-hooks poststart | poststop: what runv's front starts where a container has such hooks, with the container's record on standard input.
import { readFileSync } from 'node:fs';
import { Failure } from '../failure.ts';
import { runLateHooks } from '../hooks.ts';
import type { ContainerState } from '../state.ts';

export async function run([kind]: readonly string[]): Promise<number> {
  if (kind !== 'poststart' && kind !== 'poststop') throw new Failure('usage', 'runv late-hooks poststart | poststop');
  const { id, ociVersion, bundle, annotations, hooks, pid } = JSON.parse(readFileSync(0, 'utf8')) as ContainerState;
  await runLateHooks(kind, hooks, { ociVersion, id, bundle, annotations, ...(kind === 'poststart' ? { status: 'running', pid } : { status: 'stopped', pid: 0 }) });
  return 0;
}
