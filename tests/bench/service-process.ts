// A service of ours as a process of the benchmark's own, as it is shipped. It waits for nothing: whether it is ready is for its caller to see.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environment, projectDir, repositoryDir } from '../../scripts/config.ts';
import type { Session } from './session.ts';

const stopMs = 20_000;

export type ServiceProcess = {
  readonly pid: number;
  readonly directory: string;
  readonly ended: boolean;
  /** The end of what it wrote. */
  log(): Promise<string>;
  stop(): Promise<void>;
};

/** How a process reaches the log; without `member` NATS asks for nothing. */
export type LogAddress = { readonly url: string; readonly member?: { readonly caFile: string; readonly credentialsFile: string } };

/** `env`: beside where NATS is. It ends with the session at the latest. */
export async function startService(session: Session, name: 'api' | 'scheduler' | 'agent', { url, member }: LogAddress, env: (directory: string) => Readonly<Record<string, string>> = () => ({})): Promise<ServiceProcess> {
  const directory = await session.directory(name);
  const file = join(directory, `${name}.log`);
  const log = openSync(file, 'a');
  const profile = session.profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${session.profiles}`];
  const child = spawn(process.execPath, ['--max-semi-space-size=16', ...profile, join(repositoryDir, 'services', name, 'src', 'main.ts')], {
    stdio: ['ignore', log, log],
    env: {
      PATH: environment.path.join(':'), NODE_ENV: 'production', NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'), POUCH_NATS_URL: url,
      ...(member === undefined ? {} : { POUCH_NATS_CREDS: member.credentialsFile, POUCH_NATS_CA: member.caFile }), ...env(directory),
    },
  });
  closeSync(log);
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const onExit = (): void => { child.kill('SIGKILL'); };
  process.once('exit', onExit);
  const stop = async (): Promise<void> => {
    if (!ended()) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
      await exited;
      clearTimeout(timer);
    }
    process.off('exit', onExit);
  };
  session.undo(name, stop);
  return {
    pid: child.pid!, directory, stop,
    get ended() { return ended(); },
    log: async () => (await readFile(file, 'utf8')).slice(-2_000),
  };
}
