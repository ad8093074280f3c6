// Runs the programs that make file systems, with a limit and with their words in the error. It must not use a shell.
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { promisify } from 'node:util';
import { MachineError } from './errors.ts';

const run = promisify(execFile);

/** PATH may be empty under a container engine. */
const directories = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'];
const path = directories.join(':');

/** The first of several absolute paths, or of names in the system's directories, that can be executed. */
export async function locate(...candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates.flatMap((name) => (name.startsWith('/') ? [name] : directories.map((directory) => `${directory}/${name}`)))) {
    if (await access(candidate, constants.X_OK).then(() => true, () => false)) return candidate;
  }
  return undefined;
}

/** Runs a program of the system to its end. Throws `missing-program` or `program-failed` with what it wrote. */
export async function runProgram(name: string, args: readonly string[], { timeoutMs = 120_000, cwd = '/' }: { readonly timeoutMs?: number; readonly cwd?: string } = {}): Promise<string> {
  const program = await locate(name);
  if (program === undefined) throw new MachineError('missing-program', `${name} is not installed`);
  try {
    const { stdout } = await run(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1 << 20, cwd, env: { PATH: path, LANG: 'C' } });
    return stdout;
  } catch (cause) {
    const words = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new MachineError('program-failed', `${name} failed: ${words.slice(-500) || (cause instanceof Error ? cause.message : String(cause))}`, { cause });
  }
}
