// Questions to a running machine's guest. It must not change anything.
import { Failure } from './failure.ts';
import { MonitorClient } from './monitor-client.ts';
import { placesOf } from './places.ts';
import type { Frame } from './protocol/frames.ts';
import { readState, statusOf, type ContainerState } from './state.ts';

/** Sends one request and returns the answer. Throws `wrong-state` where no guest can answer. */
export async function askGuest(root: string, id: string, op: number, wanted: number, payload: Buffer): Promise<{ readonly state: ContainerState; readonly frame: Frame }> {
  const state = readState(root, id);
  const status = statusOf(root, state);
  if (status === 'paused') throw new Failure('wrong-state', 'the machine is paused and cannot answer');
  const client = status === 'running' || status === 'created' ? await MonitorClient.connect(placesOf(root, id).monitorSocket) : undefined;
  if (client === undefined) throw new Failure('wrong-state', 'container not running');
  try {
    return { state, frame: await client.ask([{ op, payload }], wanted) };
  } finally {
    client.close();
  }
}
