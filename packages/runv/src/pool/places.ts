// Where ready machines wait: sockets below /run, since a socket's path has at most 107 bytes, scratch disks beside the layers, so that a claim
// can rename one to its container's snapshot. Each store of layers has a pool of its own. Names only.
import { createHash } from 'node:crypto';
import { join } from 'node:path';

const base = '/run/runv.pool';
const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

export interface PoolPlaces {
  readonly directory: string;
  readonly scratchDir: string;
}

export function poolPlaces(layerDir: string): PoolPlaces {
  return { directory: join(base, short(layerDir)), scratchDir: join(layerDir, 'ready') };
}

export interface MemberPlaces {
  readonly directory: string;
  readonly keeperSocket: string;
  readonly recordPath: string;
  readonly qemuLog: string;
  /** QEMU's user may write there. */
  readonly qemuDir: string;
  readonly controlPath: string;
  readonly qmpPath: string;
  readonly consolePath: string;
}

/** As in a container's own directory of sockets (places.ts): a member becomes that by being renamed. */
export function memberPlaces(directory: string): MemberPlaces {
  const qemuDir = join(directory, 'qemu');
  return {
    directory, keeperSocket: join(directory, 'keeper.sock'), recordPath: join(directory, 'member.json'), qemuLog: join(directory, 'qemu.log'),
    qemuDir, controlPath: join(qemuDir, 'control.sock'), qmpPath: join(qemuDir, 'qmp.sock'), consolePath: join(qemuDir, 'console.log'),
  };
}
