// Where the built C programs are. It must not build or start them: scripts/build-native.ts builds.
import { join } from 'node:path';

const build = join(import.meta.dirname, '..', 'build');

/** Writes a container's output to its log: named in the task's stdout URI, or run with `--fifo`. */
export const logWriterPath: string = join(build, 'pouch-log');

/** The system calls Node has no words for; use `SysHelper`. */
export const sysPath: string = join(build, 'pouch-sys');

/** PID 1 for `HostConfig.Init`; bind it on /sbin/docker-init and start `/sbin/docker-init -- COMMAND …`. */
export const initPath: string = join(build, 'container-init');

/** PID 1 of a virtual machine: /init of its initramfs. Speaks c/vm/protocol.h. */
export const guestInitPath: string = join(build, 'pouch-init');

/** The host's process for a virtual machine, or for one process exec'd in it: `--config FILE`, as the head of c/vm/monitor.c says. */
export const monitorPath: string = join(build, 'pouch-monitor');

/** What bin/runv starts: it does the verbs that need no decision, and starts Node for the others, as the head of c/vm/front.c says. */
export const runvFrontPath: string = join(build, 'runv-front');

/** Reads and writes the files of one container; use `FilesHelper`. */
export const filesPath: string = join(build, 'pouch-files');

/** What the log writer is told. */
export type LogWriterOptions = {
  /** Absolute directory, made by the caller, that holds the log and nothing else. */
  readonly dir: string;
  /** This start's id, at most 256 bytes: it stands in the start and end records. */
  readonly startId: string;
  /** Bytes of one file; undefined or ≤ 0 for no limit. */
  readonly maxSizeBytes?: number;
  /** Files kept, the current one included; 1 when undefined. */
  readonly maxFiles?: number;
  readonly tty?: boolean;
};

function pairs(options: LogWriterOptions): [string, string][] {
  const list: [string, string][] = [['dir', options.dir], ['start', options.startId]];
  if (options.maxSizeBytes !== undefined) list.push(['max-size', String(Math.trunc(options.maxSizeBytes))]);
  if (options.maxFiles !== undefined) list.push(['max-file', String(Math.trunc(options.maxFiles))]);
  if (options.tty === true) list.push(['tty', '1']);
  return list;
}

/**
 * The task's `stdout` (and, without a terminal, `stderr`) for containerd: the shim then starts the log writer.
 * The end record is there once `tasks.Delete` has returned: the shim holds the pipes open until then.
 */
export function logWriterUri(options: LogWriterOptions): string {
  const query = pairs(options).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
  return `binary://${encodeURI(logWriterPath)}?${query}`;
}

/**
 * Arguments for `logWriterPath` to read from FIFOs (stderr undefined with a terminal). It exits 0 once both are open and the start is
 * in the log, and goes on in the background until both have ended: await the exit before `tasks.Create`.
 */
export function logWriterFifoArguments(options: LogWriterOptions, stdoutFifo: string, stderrFifo: string | undefined): string[] {
  return ['--fifo', stdoutFifo, stderrFifo ?? '-', ...pairs(options).flat()];
}

/** A shim for containerd: the runtime name of a container or task. Takes the options of containerd's own runc shim. */
export const shimPath: string = join(build, 'containerd-shim-pouch-v2');
