// Starts a QEMU that belongs to this process: a probe's or a template's. Containers' QEMUs are the monitor's; it must not be used for them.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { locate } from './programs.ts';

export interface User { readonly uid: number; readonly gid: number }

export interface OwnQemu {
  /** Whether it runs. */
  readonly runs: () => boolean;
  /** The last of what it wrote. */
  readonly words: () => string;
  /** Ends it, and waits for its end. */
  readonly end: () => Promise<void>;
}

const maxWords = 2000;

/** Starts it as `user`, without privileges to gain; it is killed when this process ends, however that happens. */
export async function launchQemu(command: readonly string[], user?: User): Promise<OwnQemu> {
  const setpriv = await locate('setpriv'); // util-linux: everywhere but on the smallest systems
  const become = user === undefined ? [] : ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', '--no-new-privs'];
  const [program, ...args] = setpriv === undefined ? command : [setpriv, ...become, '--pdeathsig', 'KILL', '--', ...command];
  const child: ChildProcess = spawn(program as string, args, {
    stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, ...(setpriv === undefined ? user ?? {} : {}),
  });
  let words = '';
  let over = false;
  child.stderr?.on('data', (piece: Buffer) => { words = (words + piece.toString('latin1')).slice(-maxWords); });
  child.once('exit', () => { over = true; });
  child.once('error', (error) => {
    over = true;
    words += error.message;
  });
  return {
    runs: () => !over,
    words: () => words.trim(),
    end: async () => {
      if (over) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
