// runv run: create, start, wait, delete; with --detach only the first two.
import { once } from 'node:events';
import { resolve } from 'node:path';
import { idOf, parseArguments } from '../arguments.ts';
import { createContainer } from '../create-container.ts';
import { runFront } from '../front.ts';
import type { Globals } from '../globals.ts';
import { logLine } from '../log.ts';

export async function run(args: readonly string[], globals: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['detach', 'keep', 'no-pivot', 'no-new-keyring'], values: ['bundle', 'pid-file', 'console-socket', 'preserve-fds'], alias: { b: 'bundle', d: 'detach' } });
  const [pidFile, consoleSocket] = [parsed.values.get('pid-file'), parsed.values.get('console-socket')];
  const id = idOf(parsed, 'run');
  const detached = parsed.flags.has('detach');
  const { child } = await createContainer({ root: globals.root, warn: (message) => logLine(globals, 'warning', message), id, bundle: resolve(parsed.values.get('bundle') ?? '.'), detached, ...(pidFile ? { pidFile } : {}), ...(consoleSocket ? { consoleSocket } : {}) });
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  try {
    const started = runFront(globals, 'start', id);
    if (started !== 0) return started;
    if (detached) process.exit(0);
    const [code] = await ended;
    return code ?? 255;
  } finally {
    if (!parsed.flags.has('keep')) runFront(globals, 'delete', '--force', id);
  }
}
