// How a command's action is run: its code is loaded only then, and its exit code is kept. Declares no command.
import type { Context } from '../context.ts';

export interface Runner {
  readonly context: Context;
  /** Wraps an action, so that what it answers with becomes the exit code. */
  does<A extends unknown[]>(action: (...args: A) => Promise<number>): (...args: A) => Promise<void>;
  exitCode(): number;
}

export function createRunner(context: Context): Runner {
  let code = 0;
  return {
    context,
    does: (action) => async (...args) => {
      code = await action(...args);
    },
    exitCode: () => code,
  };
}

/** Examples at the end of a command's help. */
export const examples = (...lines: readonly string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
