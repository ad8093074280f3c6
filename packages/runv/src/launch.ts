// Starts pouch-monitor: the process that containerd's shim or conmon takes for the container. It must leave no descriptor of ours open in it.
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { monitorPath } from '@pouch/native';
import { Failure } from './failure.ts';
import { monitorEnvironment } from './monitor-config.ts';

export interface Monitor { readonly child: ChildProcess; readonly pid: number }

/** With our standard streams, in a session of its own if `detached`; `readyTimeoutMs` for its first word, `meanwhile` going on until then. Throws `machine` with its reason. */
export async function launchMonitor(configPath: string, { detached, readyTimeoutMs, meanwhile }: { readonly detached: boolean; readonly readyTimeoutMs: number; readonly meanwhile?: () => Promise<void> }): Promise<Monitor> {
  const child = spawn(monitorPath, ['--config', configPath], { detached, stdio: ['inherit', 'inherit', 'inherit', 'pipe'], cwd: '/', env: monitorEnvironment });
  const ready = child.stdio[3] as Readable;
  let line = '';
  // What has to happen for it to come up: without it there is nothing to wait for.
  const woken: { error?: Error } = {};
  meanwhile?.().catch((error: unknown) => {
    woken.error = error instanceof Error ? error : new Error(String(error));
    child.kill('SIGKILL');
  });
  const told = await new Promise<string>((settle) => {
    const timer = setTimeout(() => settle('error the machine did not come up in time'), readyTimeoutMs);
    const end = (text: string): void => {
      clearTimeout(timer);
      settle(text);
    };
    child.once('error', (error) => end(`error ${monitorPath} cannot be run: ${error.message}`));
    ready.on('data', (piece: Buffer) => {
      line = (line + piece.toString('utf8')).slice(0, 4096);
      if (line.includes('\n')) end(line.slice(0, line.indexOf('\n')));
    });
    ready.once('error', (error) => end(`error ${error.message}`));
    ready.once('close', () => end(line === '' ? 'error the monitor ended without a word' : line));
  });
  ready.destroy();
  if (woken.error !== undefined) throw woken.error;
  if (!told.startsWith('ok ')) {
    child.kill('SIGKILL');
    throw new Failure('machine', told.replace(/^error /, ''));
  }
  if (detached) child.unref();
  return { child, pid: child.pid ?? 0 };
}
