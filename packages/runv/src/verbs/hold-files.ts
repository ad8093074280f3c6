// runv hold-files --bundle DIR ID: boots the machine of a container that does not run, for `runv files` to read and write its files. Says OPENED (frames of
// packages/native/c/files/files.h) once it can, and ends, all written, with its standard input. An addition to the OCI's verbs.
import { once } from 'node:events';
import { resolve } from 'node:path';
import { idOf, parseArguments } from '../arguments.ts';
import { createContainer } from '../create-container.ts';
import { runFront } from '../front.ts';
import type { Globals } from '../globals.ts';
import { logLine } from '../log.ts';

/** The machine is the container of this id for as long, so that nothing else starts it; it ends with this process, whatever ends that. */
export async function run(args: readonly string[], globals: Globals): Promise<number> {
  const parsed = parseArguments(args, { values: ['bundle'], alias: { b: 'bundle' } });
  const id = idOf(parsed, 'hold-files');
  const { child } = await createContainer({ root: globals.root, warn: (message) => logLine(globals, 'warning', message), id, bundle: resolve(parsed.values.get('bundle') ?? '.'), detached: false, files: true });
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  try {
    const started = runFront(globals, 'start', id);
    if (started !== 0) return started;
    const [code] = await ended;
    return code ?? 255;
  } finally {
    runFront(globals, 'delete', '--force', id);
  }
}
