// What is seen of a container's task, and how a task tells which start it belongs to. Pure.

export interface Observed {
  /** The start that made the task: it stands in the task's own stdout path, so there is no moment at which it is unknown. */
  readonly startId: string;
  readonly pid: number;
  readonly status: 'created' | 'running' | 'paused' | 'stopped';
  /** Of a stopped task. */
  readonly exit: { readonly code: number; readonly atMs: number } | null;
  readonly oomKilled: boolean;
}

/** A start's id as one path element: ids are made by clients of the log and could hold anything. */
export function startDirectory(startId: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9:_-]{0,127}$/.test(startId) ? startId : `x${Buffer.from(startId).toString('hex').slice(0, 200)}`;
}

/** The start's id from a task's stdout: `binary:///…?start=ID…` of the log writer, or the FIFO `…/ID/stdout`. Null: not one of ours. */
export function startIdOfStdout(stdout: string): string | null {
  if (stdout.startsWith('binary://')) return URL.canParse(stdout) ? new URL(stdout).searchParams.get('start') : null;
  const parts = stdout.split('/');
  if (parts.at(-1) !== 'stdout') return null;
  const directory = parts.at(-2) ?? '';
  if (directory.startsWith('x')) {
    const decoded = Buffer.from(directory.slice(1), 'hex').toString();
    if (startDirectory(decoded) === directory) return decoded;
  }
  return directory === '' ? null : directory;
}
