// runv delete
import { idOf, parseArguments } from '../arguments.ts';
import { deleteContainer } from '../delete-container.ts';
import type { Globals } from '../globals.ts';
import { checkId } from '../state.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['force'], alias: { f: 'force' } });
  await deleteContainer(root, checkId(idOf(parsed, 'delete')), parsed.flags.has('force'));
  return 0;
}
