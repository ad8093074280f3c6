// A container's record, ROOT/ID/state.json: made by mkdir, so that of two at once one wins, and replaced by rename, so that it is read whole.
// It must not start or end anything.
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, hasCode } from './failure.ts';
import type { HookSet } from './hooks.ts';

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

export interface ContainerState {
  readonly id: string;
  readonly ociVersion: string;
  /** Of the monitor; 0 while it is being created. */
  readonly pid: number;
  /** Of the monitor, as /proc/PID/stat has it: a pid alone may be another process by now. */
  readonly pidStart: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** ISO 8601. */
  readonly created: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly cgroups: readonly string[];
  readonly paused: boolean;
  readonly hooks: HookSet;
  /** Guest's memory, bytes. */
  readonly memoryBytes: number;
  /** What the container may use of it, since an update lowered that. */
  readonly memoryLimitBytes?: number;
  readonly vcpus: number;
  readonly arg0: string;
  /** Of sockets (places.ts): where runv's front finds the monitor. */
  readonly sockets: string;
}

const idPattern = /^[\w+.-]{1,256}$/;

export function checkId(id: string): string {
  if (!idPattern.test(id) || id === '.' || id === '..') throw new Failure('usage', `invalid container id ${JSON.stringify(id)}: letters, digits, "_", "+", "-" and "." only`);
  return id;
}

export const containerDir = (root: string, id: string): string => join(root, checkId(id));

/** Makes the container's directory; throws `exists` when another has it. */
export function claim(root: string, id: string): string {
  const directory = containerDir(root, id);
  mkdirSync(root, { recursive: true, mode: 0o711 });
  try {
    mkdirSync(directory, { mode: 0o711 });
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw new Failure('exists', `container with given ID already exists: ${id}`, { cause: error });
    throw error;
  }
  return directory;
}

export function writeState(root: string, state: ContainerState): void {
  const path = join(containerDir(root, state.id), 'state.json');
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
  try {
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Undefined where there is no such container. */
export function findState(root: string, id: string): ContainerState | undefined {
  try {
    return JSON.parse(readFileSync(join(containerDir(root, id), 'state.json'), 'utf8')) as ContainerState;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export function readState(root: string, id: string): ContainerState {
  const state = findState(root, id);
  if (state === undefined) throw new Failure('does-not-exist', `container "${id}" does not exist`);
  return state;
}

export function listStates(root: string): ContainerState[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
  return names.filter((name) => idPattern.test(name) && name !== 'runv.json').flatMap((name) => {
    try {
      return findState(root, name) ?? [];
    } catch (error) {
      if (hasCode(error, 'ENOTDIR')) return []; // a file of somebody's
      throw error;
    }
  });
}

/** When the process was started, in the kernel's ticks; undefined when it is gone or only waits to be reaped. */
export function processStart(pid: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

export const monitorLives = ({ pid, pidStart }: Pick<ContainerState, 'pid' | 'pidStart'>): boolean => pid > 0 && processStart(pid) === pidStart;

/** What the monitor has written last; undefined before its first word. */
export function readMonitorStatus(root: string, id: string): { readonly state: string; readonly qemuPid?: number; readonly guestPid?: number; readonly exitCode?: number; readonly oomKilled?: boolean; readonly error?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(containerDir(root, id), 'status.json'), 'utf8')) as { state: string };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export function statusOf(root: string, state: ContainerState): Status {
  if (state.pid === 0) return 'creating';
  if (!monitorLives(state)) return 'stopped';
  const told = readMonitorStatus(root, state.id)?.state;
  if (told === 'stopped') return 'stopped';
  if (told === 'running') return state.paused ? 'paused' : 'running';
  return told === 'created' ? 'created' : 'creating';
}
