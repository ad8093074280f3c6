// runv start
import { idOf, parseArguments } from '../arguments.ts';
import type { Globals } from '../globals.ts';
import { startContainer } from '../start-container.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  await startContainer(root, idOf(parseArguments(args, {}), 'start'));
  return 0;
}
