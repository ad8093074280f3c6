// runv pool ls | sweep [--all]: the machines that wait ready, and the end of those whose layers are gone, or of all. The images of such layers go, too.
import { stat } from 'node:fs/promises';
import { parseArguments } from '../arguments.ts';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { endPool, readyMembers, sweepPool, type MemberRecord } from '../pool/members.ts';
import { sweepLayers } from '../rootfs/layers.ts';

const isGone = (path: string): Promise<boolean> => stat(path).then(() => false, () => true);

async function hasLostLayers({ layers }: MemberRecord): Promise<boolean> {
  return (await Promise.all(layers.map(isGone))).some(Boolean);
}

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const { rest: [action], flags } = parseArguments(args, { flags: ['all'] });
  const { layerDir } = await readConfig(root);
  switch (action) {
    case 'ls':
      process.stdout.write(`${JSON.stringify(await readyMembers(layerDir))}\n`);
      return 0;
    case 'sweep': {
      await sweepLayers(layerDir);
      if (flags.has('all')) await endPool(layerDir);
      else await sweepPool(layerDir, hasLostLayers);
      return 0;
    }
    default:
      throw new Failure('usage', 'runv pool ls | sweep [--all]');
  }
}
