// The api's process on a log of the benchmark's own, without hosts: what it answers comes from its projection only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { environment, projectDir, repositoryDir } from '../../../scripts/config.ts';
import { DockerClient } from '../docker-client.ts';
import type { Session } from '../session.ts';

const readyMs = 120_000;
const stopMs = 20_000;

export type ApiProcess = { readonly client: DockerClient; readonly socket: string; readonly pid: number };

/** Starts it and waits until it shows what the log holds up to `seq`. */
export async function startApi(session: Session, natsUrl: string, seq: number): Promise<ApiProcess> {
  const directory = await session.directory('api');
  const socket = join(directory, 's.sock');
  const log = openSync(join(directory, 'api.log'), 'a');
  const child = spawn(process.execPath, ['--max-semi-space-size=16', join(repositoryDir, 'services', 'api', 'src', 'main.ts')], {
    stdio: ['ignore', log, log],
    env: { PATH: environment.path.join(':'), NODE_ENV: 'production', NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'), POUCH_NATS_URL: natsUrl, POUCH_DATA_DIR: join(directory, 'd'), POUCH_SOCKET: socket },
  });
  closeSync(log);
  const onExit = (): void => { child.kill('SIGKILL'); };
  process.once('exit', onExit);
  session.undo('api', async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
      await exited;
      clearTimeout(timer);
    }
    process.off('exit', onExit);
  });
  const client = new DockerClient(socket);
  session.undo('connections to the api', () => { client.close(); });
  const deadline = Date.now() + readyMs;
  for (;;) {
    try {
      const { projection } = await client.call<{ projection: { state: string; seq: number } }>('GET', '/cluster/health');
      if (projection.state === 'following' && projection.seq >= seq) return { client, socket, pid: child.pid! };
    } catch (error) {
      if (child.exitCode !== null) throw new Error(`the api did not start:\n${(await readFile(join(directory, 'api.log'), 'utf8')).slice(-2_000)}`, { cause: error });
      // not listening yet, or busy with the log
    }
    if (Date.now() > deadline) throw new Error(`the api does not show the log after ${readyMs} ms`);
    await delay(50);
  }
}
