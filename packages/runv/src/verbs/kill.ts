// runv kill: a signal to the container's process, or to every one. A machine that does not answer a KILL is ended itself.
import { parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { MonitorClient, Refused } from '../monitor-client.ts';
import { placesOf } from '../places.ts';
import { op, signalAll } from '../protocol/ops.ts';
import { u32 } from '../protocol/records.ts';
import { parseSignal } from '../signals.ts';
import { readState, statusOf } from '../state.ts';

const sigkill = 9;
const answerMs = 5_000;
const ESRCH = 3;

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const { flags, rest } = parseArguments(args, { flags: ['all'], alias: { a: 'all' } });
  const [id, name = 'SIGTERM'] = rest;
  if (id === undefined || rest.length > 2) throw new Failure('usage', '"runv kill" requires a container id and a signal');
  const signal = parseSignal(name);
  const state = readState(root, id);
  const status = statusOf(root, state);
  const client = status === 'stopped' || status === 'creating' ? undefined : await MonitorClient.connect(placesOf(root, id).monitorSocket);
  if (client === undefined) throw new Failure('wrong-state', 'container not running');
  try {
    // The processors of a paused machine stand still. What it is sent waits for it, as with a frozen process; a KILL does not.
    const sent = { op: op.signal, id: 1, payload: u32(signal, flags.has('all') ? signalAll : 0) };
    if (status !== 'paused') await client.ask([sent, { op: op.ping, payload: u32(1) }], op.pong, answerMs);
    else if (signal === sigkill) await client.ask([{ op: op.stopNow }], op.stopNow);
    else await client.ask([sent, { op: op.state }], op.state, answerMs); // the monitor itself answers, once it has passed the signal on
  } catch (error) {
    if (error instanceof Refused && error.errno === ESRCH) throw new Failure('wrong-state', 'process already finished', { cause: error });
    // Ended by the signal before it could answer, or it hangs.
    if (!(error instanceof Failure) || (signal !== sigkill && !error.message.startsWith('container not running'))) throw error;
    if (error.retryable) await client.ask([{ op: op.stopNow }], op.stopNow).catch(() => undefined); // gone meanwhile: what was wanted
  } finally {
    client.close();
  }
  return 0;
}
