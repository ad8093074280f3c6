// What an error of containerd or a runtime means to the person who asked: code, sentence and, for a start, the exit code that Docker gives.
import { ContainerdError } from '@pouch/containerd';
import { LogUnavailable } from '@pouch/eventlog';
import { SysError } from '@pouch/native';
import { messageOf } from '@pouch/process';

/** A setting or circumstance that makes a create or start impossible; its text goes to the person who asked. */
export class ImpossibleError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'ImpossibleError';
    this.code = code;
  }
}

export interface Failed {
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
}

/** Whether the same step may go through later and its outcome now is unknown: containerd is away, or did not answer in time; or the log is, of which a container needs something. */
export function isPassing(error: unknown): boolean {
  return error instanceof LogUnavailable || ((error instanceof ContainerdError || error instanceof SysError) && error.retryable);
}

const notFound = ['executable file not found', 'no such file or directory', 'cannot find the file'];
const notExecutable = ['permission denied', 'not a directory', 'is a directory', 'exec format error'];

/** A runtime that was cut short left no log: that file is what is not found, not the container's command. */
const noRuntimeLog = /unable to retrieve oci runtime error \([^)]*\)/g;

/** Docker's rule for a start that failed: 127 where the command was not found, 126 where it may not be executed, else 128. */
export function startFailure(error: unknown): Failed {
  const detail = error instanceof ContainerdError ? error.detail : messageOf(error);
  const lower = detail.toLowerCase().replaceAll(noRuntimeLog, '');
  const exitCode = notFound.some((words) => lower.includes(words)) ? 127 : notExecutable.some((words) => lower.includes(words)) ? 126 : 128;
  const code = error instanceof ImpossibleError ? error.code : exitCode === 127 ? 'command-not-found' : exitCode === 126 ? 'not-executable' : 'start-failed';
  return { code, exitCode, message: error instanceof ContainerdError ? `failed to create task for container: ${detail}` : detail };
}
