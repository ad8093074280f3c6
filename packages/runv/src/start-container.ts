// Starts the container's own process, and runs the hooks that come after. The words for a program that is not there are those that callers look for.
import { Failure } from './failure.ts';
import { runLateHooks } from './hooks.ts';
import { MonitorClient, Refused } from './monitor-client.ts';
import { placesOf } from './places.ts';
import { op } from './protocol/ops.ts';
import { readState, statusOf } from './state.ts';

const startTimeoutMs = 60_000;
const [ENOENT, EACCES, ENOEXEC] = [2, 13, 8];

export function notStarted({ errno, message }: Refused, arg0: string): string {
  if (errno === ENOENT) return `exec: ${JSON.stringify(arg0)}: executable file not found in $PATH: ${message}: no such file or directory`;
  if (errno === EACCES) return `exec: ${JSON.stringify(arg0)}: permission denied: ${message}`;
  if (errno === ENOEXEC) return `exec: ${JSON.stringify(arg0)}: exec format error: ${message}`;
  return message;
}

export async function startContainer(root: string, id: string): Promise<void> {
  const state = readState(root, id);
  const status = statusOf(root, state);
  if (status === 'stopped') throw new Failure('wrong-state', 'cannot start a container that has stopped');
  if (status !== 'created') throw new Failure('wrong-state', status === 'creating' ? 'the container is not created yet' : 'cannot start an already running container');
  const client = await MonitorClient.connect(placesOf(root, id).monitorSocket);
  if (client === undefined) throw new Failure('wrong-state', 'cannot start a container that has stopped');
  try {
    await client.ask([{ op: op.start }], op.start, startTimeoutMs);
  } catch (error) {
    if (error instanceof Refused) throw new Failure('machine', notStarted(error, state.arg0), { cause: error });
    throw error;
  } finally {
    client.close();
  }
  await runLateHooks('poststart', state.hooks, { ociVersion: state.ociVersion, id, status: 'running', pid: state.pid, bundle: state.bundle, annotations: state.annotations });
}
