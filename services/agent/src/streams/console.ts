// `pouch logs --console`: what a container's machine wrote to its console, of the run that is or else of the last one. It reads only.
import { setTimeout as delay } from 'node:timers/promises';
import type { HostPipes } from '@pouch/contracts';
import { isMachine } from '@pouch/domain';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import { openConsole, runFiles } from '../machines/run-files.ts';
import type { Rooms } from '../rooms.ts';
import { write } from './frames.ts';

const chunkBytes = 64 * 1024;
/** Of a long console, the end. */
const maxPastBytes = 8 << 20;
const lookMs = 250;

export async function consoleOutput(rooms: Rooms, { containerId: id, follow }: HostPipes['container.console']['params'], output: ServerPipe, signal: AbortSignal): Promise<void> {
  const container = rooms.book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  if (!isMachine(container.spec)) throw new OperatingError('conflict', `container ${container.name} has no console: it shares the kernel of its host`);
  const { console, kept } = runFiles(rooms.layout.machines, rooms.layout.container(id), id);
  const file = (await openConsole(console)) ?? (await openConsole(kept));
  if (file === null) throw new OperatingError('not-found', `container ${container.name} has no console output: it has not been started yet`);
  try {
    output.accept();
    output.resume();
    let at = Math.max(0, (await file.stat()).size - maxPastBytes);
    for (;;) {
      // Asked before reading, so that what was written up to the end is still read.
      const over = !follow || !isUnderWay(rooms, id);
      const buffer = Buffer.alloc(chunkBytes);
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, at);
      at += bytesRead;
      if (bytesRead > 0) await write(output, buffer.subarray(0, bytesRead), signal);
      else if (over) return;
      else await delay(lookMs, undefined, { signal }).catch(() => undefined); // aborted: seen below
      if (signal.aborted) return;
    }
  } finally {
    await file.close();
  }
}

function isUnderWay({ tasks, starts }: Rooms, id: string): boolean {
  const task = tasks.get(id);
  return (task !== null && task.status !== 'stopped') || starts.of(id) !== undefined;
}
