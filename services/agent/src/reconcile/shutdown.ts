// Stops every container of the host in order, so that it can go down. Their exits are told as such: they come back with the host where
// their restart policy says so.
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError } from '@pouch/containerd';
import type { HostCalls } from '@pouch/contracts';
import { signalNumber } from '../containers/signals.ts';
import type { Rooms } from '../rooms.ts';

const lookMs = 50;
const killGraceMs = 10_000;
const defaultStopSeconds = 10;

/** As the call `host.shutdown` has it. All have ended when those that did not were killed and given up on. */
export async function shutDownHost(rooms: Rooms, { timeoutSeconds, answerWithinSeconds }: HostCalls['host.shutdown']['params']): Promise<HostCalls['host.shutdown']['result']> {
  const { shutdown } = rooms;
  shutdown.active = true;
  const stopping = shutdown.stopping ??= stopAll(rooms, timeoutSeconds);
  if (answerWithinSeconds === undefined) return { stopped: await stopping };
  const stopped = await Promise.race([stopping, delay(1_000 * answerWithinSeconds, null)]);
  return stopped === null ? { stopped: 0, going: true } : { stopped };
}

async function stopAll(rooms: Rooms, timeoutSeconds: number): Promise<number> {
  const { book, tasks, logger } = rooms;
  const ids = tasks.ids().filter((id) => tasks.get(id)?.status !== 'stopped');
  logger.info({ containers: ids.length }, 'the host is being shut down: stopping its containers');
  await Promise.all(ids.map(async (id) => {
    const spec = book.local(id)?.spec;
    const own = spec?.stopTimeoutSeconds ?? defaultStopSeconds;
    const graceMs = 1_000 * (own < 0 ? timeoutSeconds : Math.min(own, timeoutSeconds));
    await send(rooms, id, signalNumber(spec?.stopSignal ?? 'SIGTERM') ?? 15);
    if (tasks.get(id)?.status === 'paused') await rooms.containerd.tasks.resume(id).catch((error: unknown) => logger.warn({ containerId: id, err: error }, 'resume failed'));
    if (await ended(rooms, id, graceMs)) return;
    await send(rooms, id, 9);
    if (!(await ended(rooms, id, killGraceMs))) logger.error({ containerId: id }, 'a container did not end');
  }));
  return ids.length;
}

async function send({ containerd, logger }: Rooms, id: string, signal: number): Promise<void> {
  try {
    await containerd.tasks.kill(id, signal);
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) logger.warn({ containerId: id, signal, err: error }, 'signal could not be sent');
  }
}

async function ended({ tasks }: Rooms, id: string, withinMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= withinMs; waitedMs += lookMs) {
    if (tasks.get(id) === null) return true;
    await delay(lookMs);
  }
  return false;
}
