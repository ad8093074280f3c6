// runv share-network ID: processes of the host are about to join the network of this machine. Not OCI's: whoever joins them says it.
import { idOf, parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { shareNetwork } from '../network-sharing.ts';
import { monitorLives, readState } from '../state.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const id = idOf(parseArguments(args, {}), 'share-network');
  const state = readState(root, id);
  if (!monitorLives(state)) throw new Failure('wrong-state', 'container not running');
  await shareNetwork(root, id, `/proc/${state.pid}/ns/net`);
  return 0;
}
