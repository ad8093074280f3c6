// runv fill-pool WANTED: what create starts in the background, so that the next container of this image finds a machine ready.
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { fillPool } from '../pool/fill.ts';
import { decodeWanted } from '../pool/wanted.ts';

export async function run([text]: readonly string[], { root }: Globals): Promise<number> {
  if (text === undefined) throw new Failure('usage', 'runv fill-pool WANTED');
  await fillPool(decodeWanted(text), await readConfig(root));
  return 0;
}
