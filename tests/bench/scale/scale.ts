// A cluster far larger than this machine.
import type { Session } from '../session.ts';
import { decisions } from './decisions.ts';

export async function scale(session: Session): Promise<void> {
  session.tellMachine();
  session.say('decisions');
  decisions(session);
  await Promise.resolve();
}
