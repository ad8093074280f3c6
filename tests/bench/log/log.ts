// The log's figures: appends, how soon they are visible, rebuilding what is read, listing much.
import type { Session } from '../session.ts';
import { appends } from './appends.ts';
import { large } from './large.ts';
import { visible } from './visible.ts';

export async function log(session: Session, { rounds = 5 }: { readonly rounds: number | undefined }): Promise<void> {
  session.tellMachine();
  session.say('appends');
  await appends(session, rounds);
  session.say('append to visible');
  await visible(session);
  await large(session, rounds);
}
