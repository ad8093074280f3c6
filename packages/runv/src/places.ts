// Where a container's files are: its record below --root, and what QEMU's user must reach (sockets, console) in a short path of its own,
// since a socket's path has at most 107 bytes and --root may be closed to that user. Names only.
import { join, resolve } from 'node:path';

const base = '/run/runv.machines';

export interface Places {
  readonly stateDir: string;
  /** Root's own; others may pass through. */
  readonly socketDir: string;
  /** QEMU's user may write there. */
  readonly qemuDir: string;
  readonly monitorSocket: string;
  readonly controlPath: string;
  readonly qmpPath: string;
  readonly consolePath: string;
}

/** FNV-1a of 64 bits: names that differ. Ids are chosen by root, so nobody has to be kept from choosing two that meet; loading node:crypto takes 5 ms. */
function hashOf(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

export function placesOf(root: string, id: string): Places {
  const stateDir = resolve(root, id);
  const socketDir = join(base, hashOf(stateDir));
  const qemuDir = join(socketDir, 'qemu');
  return { stateDir, socketDir, qemuDir, monitorSocket: join(socketDir, 'monitor.sock'), controlPath: join(qemuDir, 'control.sock'), qmpPath: join(qemuDir, 'qmp.sock'), consolePath: join(qemuDir, 'console.log') };
}
