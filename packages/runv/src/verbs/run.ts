// runv run: create, start, wait, delete; with --detach only the first two.
import { once } from 'node:events';
import { resolve } from 'node:path';
import { idOf, parseArguments } from '../arguments.ts';
import { createContainer } from '../create-container.ts';
import { deleteContainer } from '../delete-container.ts';
import type { Globals } from '../globals.ts';
import { startContainer } from '../start-container.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['detach', 'keep', 'no-pivot', 'no-new-keyring'], values: ['bundle', 'pid-file', 'console-socket', 'preserve-fds'], alias: { b: 'bundle', d: 'detach' } });
  const [pidFile, consoleSocket] = [parsed.values.get('pid-file'), parsed.values.get('console-socket')];
  const id = idOf(parsed, 'run');
  const detached = parsed.flags.has('detach');
  const { child } = await createContainer({ root, id, bundle: resolve(parsed.values.get('bundle') ?? '.'), detached, ...(pidFile ? { pidFile } : {}), ...(consoleSocket ? { consoleSocket } : {}) });
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  try {
    await startContainer(root, id);
    if (detached) process.exit(0);
    const [code] = await ended;
    return code ?? 255;
  } finally {
    if (!parsed.flags.has('keep')) await deleteContainer(root, id, true);
  }
}
