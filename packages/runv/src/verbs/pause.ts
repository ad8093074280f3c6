// runv pause: the virtual processors stand still.
import { idOf, parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { Qmp } from '../machine/qmp.ts';
import { placesOf } from '../places.ts';
import { readState, statusOf, writeState } from '../state.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const state = readState(root, idOf(parseArguments(args, {}), 'pause'));
  if (statusOf(root, state) !== 'running') throw new Failure('wrong-state', 'container not running or created: it cannot be paused');
  const qmp = await Qmp.connect(placesOf(root, state.id).qmpPath);
  try {
    await qmp.stop();
    writeState(root, { ...state, paused: true });
  } finally {
    qmp.close();
  }
  return 0;
}
