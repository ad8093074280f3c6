// An exec driven by containerd's client from its beginning to its deletion, its output read from FIFOs.
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContainerd } from '../../fixtures/containerd.ts';

export interface Ran { readonly code: number; readonly out: string; readonly err: string; readonly pid: number }

let count = 0;

function reader(path: string): { whole: Promise<string>; keeper: number } {
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { whole: text(new Socket({ fd, readable: true, writable: false })), keeper: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) };
}

/** `stdin`: a FIFO or file that is there. `whileItRuns` is given the exec's id once it was started. */
export async function runExec({ client, directory }: TestContainerd, id: string, process: object, { stdin, whileItRuns }: { readonly stdin?: string; readonly whileItRuns?: (execId: string) => Promise<unknown> } = {}): Promise<Ran> {
  const execId = `e${++count}`;
  const [stdout, stderr] = [join(directory, `${execId}.out`), join(directory, `${execId}.err`)];
  const [out, err] = [reader(stdout), reader(stderr)];
  try {
    await client.tasks.exec({ containerId: id, execId, process, stdout, stderr, ...(stdin === undefined ? {} : { stdin }) });
    const { pid } = await client.tasks.startExec(id, execId);
    for (const { keeper } of [out, err]) closeSync(keeper);
    await whileItRuns?.(execId);
    const { exitStatus } = await client.tasks.wait(id, { execId });
    return { code: exitStatus, out: await out.whole, err: await err.whole, pid };
  } catch (error) {
    for (const { keeper } of [out, err]) closeSync(keeper);
    throw error;
  } finally {
    await client.tasks.deleteProcess(id, execId).catch(() => undefined);
  }
}
