// Where a container's files are: its record below --root, and what QEMU's user must reach (sockets, console) in a short path of its own,
// since a socket's path has at most 107 bytes and --root may be closed to that user. Names only.
import { createHash } from 'node:crypto';
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

export function placesOf(root: string, id: string): Places {
  const stateDir = resolve(root, id);
  const socketDir = join(base, createHash('sha256').update(stateDir).digest('hex').slice(0, 20));
  const qemuDir = join(socketDir, 'qemu');
  return { stateDir, socketDir, qemuDir, monitorSocket: join(socketDir, 'monitor.sock'), controlPath: join(qemuDir, 'control.sock'), qmpPath: join(qemuDir, 'qmp.sock'), consolePath: join(qemuDir, 'console.log') };
}
