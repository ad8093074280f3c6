// runv state: the state of runtime.md as JSON.
import { idOf, parseArguments } from '../arguments.ts';
import type { Globals } from '../globals.ts';
import { readState, statusOf } from '../state.ts';

export function run(args: readonly string[], { root }: Globals): number {
  const state = readState(root, idOf(parseArguments(args, {}), 'state'));
  const status = statusOf(root, state);
  const { ociVersion, id, bundle, rootfs, created, annotations } = state;
  process.stdout.write(`${JSON.stringify({ ociVersion, id, pid: status === 'stopped' ? 0 : state.pid, status, bundle, rootfs, created, annotations, owner: '' }, null, 2)}\n`);
  return 0;
}
