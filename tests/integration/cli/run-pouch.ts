// Runs the real CLI as a process of its own, as a person's shell would.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import type { DockerApiStandIn } from './docker-api-stand-in.ts';

export const pouchMain = join(import.meta.dirname, '../../../packages/cli/src/main.ts');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Pouch {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  /** Resolves once stdout holds `text`; rejects when the process ends without. */
  says(text: string): Promise<void>;
}

export function startPouch(api: Pick<DockerApiStandIn, 'socketPath'>, args: readonly string[], env: NodeJS.ProcessEnv = {}): Pouch {
  const child = spawn(process.execPath, [pouchMain, ...args], { env: { ...process.env, POUCH_HOST: `unix://${api.socketPath}`, ...env } });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    for (const watcher of watchers) watcher();
  });
  child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()));
  child.stdin.on('error', () => {
    // It may end before it has read everything: tests look at how it ended.
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  const says = (text: string) => new Promise<void>((resolve, reject) => {
    const look = () => {
      if (!stdout.includes(text)) return;
      watchers.delete(look);
      resolve();
    };
    watchers.add(look);
    void ended.then((end) => reject(new Error(`pouch ended with ${end.code} and never said ${JSON.stringify(text)}: ${end.stdout}${end.stderr}`)));
    look();
  });
  return { child, ended, says };
}

/** Runs to the end with `input` on stdin. */
export async function pouch(api: Pick<DockerApiStandIn, 'socketPath'>, args: readonly string[], input = ''): Promise<Ended> {
  const { child, ended } = startPouch(api, args);
  child.stdin.end(input);
  return ended;
}
