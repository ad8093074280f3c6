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

export async function vm(session: Session, { rounds = 15 }: { readonly rounds: number | undefined }): Promise<void> {
  session.tellMachine();
  await boots(session, rounds);
  session.say('starting Docker Engine');
  const docker = await DockerEngine.start(session);
  session.say('starting Pouch');
  const pouch = await startPouch(session);
  await runs(session, pouch, docker, rounds);
  await execs(session, pouch, docker, rounds);
  await output(session, pouch);
  await files(session, pouch);
  await idleMachines(session, pouch);
}
