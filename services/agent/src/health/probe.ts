// One probe: a process in the container, by the exec path, until it ends or its time is over. It is no exec of anybody's: the log never hears of it, and
// its id is the same each time, so that there is one at most and the next life of the agent knows what to clear up.
import { ContainerdError, isContainerdError, type TaskExit } from '@pouch/containerd';
import { maxProbeOutputBytes, probeFailedExit, type Container, type ExecSpec } from '@pouch/domain';
import { messageOf } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import type { ProbeOutcome } from './monitor.ts';
import type { Places } from './places.ts';
import { probeExecId as execId, type ProbeStreams } from './probe-streams.ts';

const sigkill = 9;
const beginMs = 60_000;
/** For a process that was killed to be gone. */
const killedMs = 5_000;
/** For output of children that outlive the probe's process. */
const drainMs = 500;
const longestTimerMs = 2 ** 31 - 1;

export interface ProbeInput {
  readonly container: Container;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly places: Places;
}

/** Runs one probe. Never rejects; where the host is to blame the outcome is null. Nothing of it is left then, unless its process cannot be killed. */
export async function runProbe(rooms: Rooms, input: ProbeInput, signal: AbortSignal): Promise<ProbeOutcome> {
  const { container: { id }, timeoutMs } = input;
  const { logger, tasks } = rooms;
  let streams: ProbeStreams | null = null;
  const over = new AbortController();
  const isRunning = (): boolean => !signal.aborted && !rooms.stopping.active && tasks.get(id)?.status === 'running';
  // What belongs to a container that ends is being removed.
  if (!isRunning()) return null;
  try {
    streams = await rooms.probeStreams(id);
    const { stdout, stderr, output } = streams;
    const begun = await input.places.with(async () => (isRunning() ? await begin(rooms, input, { stdout, stderr, over: over.signal }) : null));
    if (begun === null) return null;
    streams.release();
    const exit = await endWithin(begun.end, timeoutMs, signal);
    if (exit === null) await kill(rooms, id, begun.end);
    await output.read(drainMs);
    await takeAway(rooms, id);
    if (!isRunning()) return null; // it died with its container
    if (exit !== null) return { exitCode: exit.exitStatus, output: output.text };
    return { exitCode: probeFailedExit, output: `Health check exceeded timeout (${timeoutMs} ms)${output.text === '' ? '' : `: ${output.text}`}` };
  } catch (error) {
    const passing = !isRunning() || isContainerdError(error, 'unavailable', 'deadline');
    logger.debug({ containerId: id, err: error }, 'a health probe could not be carried out');
    await endLeftProbe(rooms, id);
    return passing ? null : { exitCode: probeFailedExit, output: (error instanceof ContainerdError ? error.detail : messageOf(error)).slice(0, maxProbeOutputBytes) };
  } finally {
    over.abort();
    await streams?.close();
  }
}

/** Ends what an earlier life of the agent, or a probe that was cut, left in the container. Never rejects. */
export async function endLeftProbe(rooms: Rooms, id: string): Promise<void> {
  const { containerd: { tasks }, logger } = rooms;
  try {
    const { status } = await tasks.get(id, { execId });
    if (status === 'RUNNING') await kill(rooms, id, tasks.wait(id, { execId, timeoutMs: killedMs }));
    await takeAway(rooms, id);
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) logger.debug({ containerId: id, err: error }, 'a probe that was left could not be looked for');
  }
}

/** Adds and starts the process. */
async function begin({ containerd: { tasks }, specs }: Rooms, { container, args }: ProbeInput, { stdout, stderr, over }: Pick<ProbeStreams, 'stdout' | 'stderr'> & { readonly over: AbortSignal }): Promise<{ readonly end: Promise<TaskExit> }> {
  const spec: ExecSpec = { args, env: [], workingDir: '', user: '', tty: false, attach: { stdin: false, stdout: true, stderr: true }, privileged: false, detachKeys: '' };
  await tasks.exec({ containerId: container.id, execId, process: await specs.process(container, spec, null), stdout, stderr }, { timeoutMs: beginMs });
  // Before the start, so that the end of a short one is not asked for but comes.
  const end = tasks.wait(container.id, { execId, signal: over });
  end.catch(() => undefined); // looked at once it has started
  await tasks.startExec(container.id, execId, { timeoutMs: beginMs });
  return { end };
}

/** Null: it goes on. */
async function endWithin(end: Promise<TaskExit>, ms: number, signal: AbortSignal): Promise<TaskExit | null> {
  if (signal.aborted) return null;
  const enough = Promise.withResolvers<null>();
  const stop = (): void => enough.resolve(null);
  const timer = setTimeout(stop, Math.min(ms, longestTimerMs));
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([end, enough.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** The process with all that belongs to it: the shim, and the guest of a machine, kill its group. Waits for its end for a while. Never rejects. */
async function kill({ containerd: { tasks }, logger }: Rooms, id: string, end: Promise<TaskExit>): Promise<void> {
  try {
    await tasks.kill(id, sigkill, { execId });
    if (await endWithin(end, killedMs, new AbortController().signal) === null) logger.warn({ containerId: id }, 'a health probe was killed and goes on');
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) logger.warn({ containerId: id, err: error }, 'a health probe could not be killed');
  }
}

/** Never rejects: one that is still there is told of by the next probe, which has the same id. */
async function takeAway({ containerd: { tasks }, logger }: Rooms, id: string): Promise<void> {
  await tasks.deleteProcess(id, execId).catch((error: unknown) => {
    if (!isContainerdError(error, 'not-found')) logger.debug({ containerId: id, err: error }, 'a health probe could not be taken away');
  });
}
