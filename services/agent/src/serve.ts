// TEMPORARY until @pouch/pipes is there.
import type { NatsLink } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import type { Execs } from './exec/exec.ts';
import type { ImagesRoom, Rooms } from './rooms.ts';
export async function serve(_deps: { rooms: Rooms; execs: Execs; link: NatsLink; logger: Logger; images: ImagesRoom }): Promise<{ stop(): Promise<void> }> {
  return { stop: () => Promise.resolve() };
}
