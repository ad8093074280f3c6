// Machines against containers: how soon a machine answers, `docker run` and exec through the whole API, memory of idle machines, output and files.
import type { Session } from '../session.ts';
import { DockerEngine } from '../sides/docker-engine.ts';
import { startPouch } from '../sides/pouch.ts';
import { boots } from './boots.ts';
import { execs } from './execs.ts';
import { files } from './files.ts';
import { idleMachines } from './idle-machines.ts';
import { output } from './output.ts';
import { runs } from './runs.ts';

/** What can be measured alone, by `--part NAME`. */
const parts = ['boots', 'runs', 'execs', 'output', 'files', 'idle-machines'] as const;

export async function vm(session: Session, { rounds = 15, part, containers }: { readonly rounds: number | undefined; readonly part: string | undefined; readonly containers: number | undefined }): Promise<void> {
  if (part !== undefined && !(parts as readonly string[]).includes(part)) throw new Error(`there is no part ${part} of vm; there are ${parts.join(', ')}`);
  const wants = (one: (typeof parts)[number]): boolean => part === undefined || part === one;
  session.tellMachine();
  if (wants('boots')) await boots(session, rounds);
  if (part === 'boots') return;
  if (wants('runs') || wants('execs')) session.say('starting Docker Engine');
  const docker = wants('runs') || wants('execs') ? await DockerEngine.start(session) : undefined;
  session.say('starting Pouch');
  const pouch = await startPouch(session);
  if (wants('runs')) await runs(session, pouch, docker, rounds);
  if (wants('execs')) await execs(session, pouch, docker, rounds);
  if (wants('output')) await output(session, pouch);
  if (wants('files')) await files(session, pouch);
  if (wants('idle-machines')) await idleMachines(session, pouch, containers);
}
