// The api's process on a log of the benchmark's own.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DockerClient } from './docker-client.ts';
import { startService, type LogAddress } from './service-process.ts';
import type { Session } from './session.ts';

const readyMs = 120_000;

export type ApiProcess = { readonly client: DockerClient; readonly socket: string; readonly pid: number };

/** Starts it and waits until it shows what the log holds up to `seq`. */
export async function startApi(session: Session, address: LogAddress, seq: number): Promise<ApiProcess> {
  const service = await startService(session, 'api', address, (directory) => ({ POUCH_DATA_DIR: join(directory, 'd'), POUCH_SOCKET: join(directory, 's.sock') }));
  const socket = join(service.directory, 's.sock');
  const client = new DockerClient(socket);
  session.undo('connections to the api', () => { client.close(); });
  const deadline = Date.now() + readyMs;
  for (;;) {
    try {
      const { projection } = await client.call<{ projection: { state: string; seq: number } }>('GET', '/cluster/health');
      if (projection.state === 'following' && projection.seq >= seq) return { client, socket, pid: service.pid };
    } catch (error) {
      if (service.ended) throw new Error(`the api did not start:\n${await service.log()}`, { cause: error });
      // not listening yet, or busy with the log
    }
    if (Date.now() > deadline) throw new Error(`the api does not show the log after ${readyMs} ms`);
    await delay(50);
  }
}
