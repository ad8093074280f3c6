// Runs a verb of runv's front from within runv: `run` starts and deletes its container as an engine would.
import { spawnSync } from 'node:child_process';
import { runvFrontPath } from '@pouch/native';
import type { Globals } from './globals.ts';

/** Waits for its end and answers its exit status; what goes wrong it has told already, as this process would have. */
export function runFront({ root, log, logFormat }: Globals, verb: 'start' | 'delete', ...words: readonly string[]): number {
  const globals = ['--root', root, ...(log === undefined ? [] : ['--log', log, '--log-format', logFormat])];
  const { status } = spawnSync(runvFrontPath, [process.execPath, process.argv[1] ?? '', ...globals, verb, ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  return status ?? 255;
}
