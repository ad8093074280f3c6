// The side process that shares a host directory with a guest: virtiofsd, Rust's or QEMU's own of before 8.0. It must not start it: the monitor does.
import { readFile } from 'node:fs/promises';
import { MachineError } from '../machine/errors.ts';
import { locate } from './programs.ts';

/** A program that the monitor starts before QEMU and ends with it. */
export interface SideProcess { readonly program: string; readonly args: readonly string[] }

export interface Share {
  /** A directory of the host, absolute. */
  readonly directory: string;
  readonly socketPath: string;
  /** Group of QEMU's user, who connects. */
  readonly gid: number;
  /** Enforced on the host: the guest may mount it as it likes. */
  readonly readOnly?: boolean;
}

const rustProgram = '/usr/libexec/virtiofsd';
const qemuProgram = '/usr/lib/qemu/virtiofsd';

/** Both programs take the group's name only. */
async function groupName(gid: number): Promise<string> {
  const line = (await readFile('/etc/group', 'utf8')).split('\n').map((text) => text.split(':')).find((fields) => fields[2] === String(gid));
  if (line?.[0] === undefined) throw new MachineError('bad-rootfs', `group ${gid} of QEMU's user has no name in /etc/group, which virtiofsd needs`);
  return line[0];
}

/** The command that serves a directory. Throws `missing-program` where there is no virtiofsd. */
export async function virtiofsdCommand({ directory, socketPath, gid, readOnly = false }: Share): Promise<SideProcess> {
  const program = await locate(rustProgram, 'virtiofsd', qemuProgram);
  if (program === undefined) throw new MachineError('missing-program', 'sharing directories with a guest needs virtiofsd (Debian: qemu-system-common before 8.0, virtiofsd from then on)');
  const group = await groupName(gid);
  const args = program === qemuProgram
    ? ['-f', `--socket-path=${socketPath}`, `--socket-group=${group}`, '--thread-pool-size=2', '-o', `source=${directory}`, '-o', 'cache=auto', '-o', 'xattr', '-o', 'no_posix_lock']
    : ['--socket-path', socketPath, '--socket-group', group, '--shared-dir', directory, '--cache', 'auto', '--xattr'];
  if (!readOnly) return { program, args };
  const script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"';
  return { program: '/usr/bin/unshare', args: ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, 'sh', directory, program, ...args] };
}
