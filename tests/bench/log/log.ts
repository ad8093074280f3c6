// The log's figures: appends, how soon they are visible, rebuilding what is read, listing much.
import type { BenchOptions } from '../main.ts';
import type { Session } from '../session.ts';
import { appends } from './appends.ts';
import { large } from './large.ts';
import { visible } from './visible.ts';

const parts = { appends, visible, large };

/** All parts, or the one that is named. */
export async function log(session: Session, { rounds = 5, part }: Pick<BenchOptions, 'rounds' | 'part'>): Promise<void> {
  if (part !== undefined && !Object.hasOwn(parts, part)) throw new Error(`log has no part ${part}; there are ${Object.keys(parts).join(', ')}`);
  session.tellMachine();
  for (const [name, run] of Object.entries(parts)) {
    if (part !== undefined && part !== name) continue;
    session.say(name);
    await session.part(() => run(session, rounds));
  }
}
