// runv exec: one more process in the container. This process becomes the monitor of that one (pouch-monitor, role process), which tells
// what goes wrong from then on: an exec is run often, and a second process beside it would be half of its time.
import { resolve } from 'node:path';
import { parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { placesOf } from '../places.ts';
import { becomeProcessMonitor } from '../process-monitor.ts';
import { checkProcess, readJson, readSpec, type ProcessSpec } from '../spec.ts';
import { spawnPayload } from '../spec-to-guest.ts';
import { readState, statusOf } from '../state.ts';

async function processOf(parsed: ReturnType<typeof parseArguments>, bundle: string): Promise<ProcessSpec> {
  const file = parsed.values.get('process');
  if (file !== undefined) return (await readJson(resolve(file))) as ProcessSpec;
  const own = (await readSpec(bundle)).process ?? {};
  const [uid, gid] = (parsed.values.get('user') ?? '').split(':');
  const user = parsed.values.has('user') ? { uid: Number(uid), gid: Number(gid ?? 0) } : own.user;
  if (user !== undefined && !(Number.isInteger(user.uid ?? 0) && Number.isInteger(user.gid ?? 0))) throw new Failure('usage', '--user takes UID[:GID]');
  const cwd = parsed.values.get('cwd') ?? own.cwd;
  return { ...own, terminal: parsed.flags.has('tty'), args: parsed.rest.slice(1), env: [...(own.env ?? []), ...(parsed.lists.get('env') ?? [])], ...(user === undefined ? {} : { user }), ...(cwd === undefined ? {} : { cwd }) };
}

export async function run(args: readonly string[], { root, log, logFormat }: Globals): Promise<number> {
  const parsed = parseArguments(args, {
    flags: ['detach', 'tty', 'no-new-privs', 'no-subreaper', 'ignore-paused'], values: ['process', 'pid-file', 'console-socket', 'cwd', 'env', 'user', 'additional-gids', 'process-label', 'apparmor', 'cap', 'preserve-fds', 'cgroup'],
    alias: { d: 'detach', t: 'tty', p: 'process', e: 'env', u: 'user', g: 'additional-gids', c: 'cap' }, greedyAfter: 1,
  });
  const [id] = parsed.rest;
  if (id === undefined) throw new Failure('usage', '"runv exec" requires a container id');
  const state = readState(root, id);
  const status = statusOf(root, state);
  if (status === 'paused') throw new Failure('wrong-state', 'cannot exec in a paused container');
  if (status !== 'running') throw new Failure('wrong-state', status === 'stopped' ? 'cannot exec in a stopped container: container not running' : `cannot exec in a container in state ${status}: container not running`);
  const wanted = await processOf(parsed, state.bundle);
  checkProcess(wanted);
  const [consoleSocket, pidFile] = [parsed.values.get('console-socket'), parsed.values.get('pid-file')];
  const terminal = wanted.terminal === true;
  if (terminal && !consoleSocket) throw new Failure('usage', 'a terminal needs --console-socket');
  return becomeProcessMonitor({ log, logFormat }, placesOf(root, id), state, spawnPayload(wanted), [
    ['detach', parsed.flags.has('detach') ? 1 : 0], ['not-found', `exec: ${JSON.stringify(wanted.args[0])}: executable file not found in $PATH`],
    ...(terminal ? [['tty', 1], ['console-socket', resolve(consoleSocket ?? '')]] as const : []),
    ...(pidFile ? [['pid-file', resolve(pidFile)]] as const : []),
  ]);
}
