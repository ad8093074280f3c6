// `pouch`: starts the program, and sees to it that errors are one line, broken pipes are quiet and the exit code is right. Loads the rest quickly.
import module from 'node:module';
import { readConfig } from './config.ts';
import { errorLine, exitCodeOf } from './errors.ts';

/** What a shell sees of a program that SIGPIPE ended. */
const brokenPipe = 141;

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO') process.exit(brokenPipe);
    throw error;
  });
}
const config = readConfig();
module.enableCompileCache(config.compileCacheDir);

async function main(): Promise<number> {
  const { createProgram, runProgram, usageProblem } = await import('./program/program.ts');
  const { CommanderError } = await import('commander');
  try {
    return await runProgram(createProgram(config), process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      process.stderr.write(`${errorLine(error)}\n`);
      return exitCodeOf(error);
    }
    const problem = usageProblem(error);
    if (problem !== null) process.stderr.write(`${problem.line}\n`);
    return problem?.exitCode ?? 0;
  }
}

/** Writes to a pipe may still be queued; what was printed must have left before the process does. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> => new Promise((resolve) => stream.write('', () => resolve()));

const code = await main();
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// Streams that are still open (a stdin nobody will read to its end) must not keep the program.
process.exit(code);
