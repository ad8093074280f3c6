// runv create: the machine is up and configured, the container's process is not started yet.
import { resolve } from 'node:path';
import { idOf, parseArguments } from '../arguments.ts';
import { createContainer } from '../create-container.ts';
import type { Globals } from '../globals.ts';
import { logLine } from '../log.ts';

export async function run(args: readonly string[], globals: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['no-pivot', 'no-new-keyring'], values: ['bundle', 'pid-file', 'console-socket', 'preserve-fds', 'network-fd'], alias: { b: 'bundle' } });
  const [pidFile, consoleSocket, networkFd] = [parsed.values.get('pid-file'), parsed.values.get('console-socket'), parsed.values.get('network-fd')];
  await createContainer({ root: globals.root, warn: (message) => logLine(globals, 'warning', message), id: idOf(parsed, 'create'), bundle: resolve(parsed.values.get('bundle') ?? '.'), detached: true, ...(pidFile ? { pidFile } : {}), ...(consoleSocket ? { consoleSocket } : {}), ...(networkFd === undefined ? {} : { networkFd: Number(networkFd) }) });
  // The monitor is not waited for, nor a template that is being made.
  process.exit(0);
}
