// The side process that shares a host directory with a guest: virtiofsd, Rust's or QEMU's own of before 8.0. It must not start it: the monitor does.
import { MachineError } from '../machine/errors.ts';
import { locate } from '../machine/programs.ts';

/** A program that the monitor starts before QEMU and ends with it. */
export interface SideProcess { readonly program: string; readonly args: readonly string[] }

export interface Share {
  /** A directory of the host, absolute. */
  readonly directory: string;
  readonly socketPath: string;
  /** Enforced on the host: the guest may mount it as it likes. */
  readonly readOnly?: boolean;
}

const rustProgram = '/usr/libexec/virtiofsd';
const qemuProgram = '/usr/lib/qemu/virtiofsd';

/** The command that serves a directory; the monitor hands the socket (`--socket-path=`) to QEMU's user. Throws `missing-program` where there is no virtiofsd. */
export async function virtiofsdCommand({ directory, socketPath, readOnly = false }: Share): Promise<SideProcess> {
  const program = await locate(rustProgram, 'virtiofsd', qemuProgram);
  if (program === undefined) throw new MachineError('missing-program', 'sharing directories with a guest needs virtiofsd (Debian: qemu-system-common before 8.0, virtiofsd from then on)');
  const args = program === qemuProgram
    ? ['-f', `--socket-path=${socketPath}`, '--thread-pool-size=2', '-o', 'log_level=warn', '-o', `source=${directory}`, '-o', 'cache=auto', '-o', 'xattr', '-o', 'no_posix_lock']
    : [`--socket-path=${socketPath}`, '--shared-dir', directory, '--cache', 'auto', '--xattr', '--log-level', 'warn'];
  if (!readOnly) return { program, args };
  const script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"';
  return { program: '/usr/bin/unshare', args: ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, 'sh', directory, program, ...args] };
}
