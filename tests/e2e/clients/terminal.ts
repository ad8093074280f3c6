// A real terminal around a client: `script` makes the pseudo-terminal, its size is set from inside it. Knows nothing of containers.
import { spawnSync } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { begin, eventually, untilPrinted, type Clients } from './clients.ts';

export type Size = { readonly rows: number; readonly columns: number };

export type Terminal = {
  type(keys: string): void;
  /** Everything that the terminal has shown. */
  text(): string;
  printed(text: string | RegExp): Promise<void>;
  /** Waits for a shell that asks for a command. */
  prompt(): Promise<void>;
  resize(size: Size): Promise<void>;
  exitCode(): Promise<number | null>;
};

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Runs a command in a terminal of its own; it ends with the test's clients. */
export function inTerminal(on: Clients, command: readonly string[], { rows, columns }: Size): Terminal {
  const line = `stty rows ${rows} cols ${columns}; exec ${command.map(quoted).join(' ')}`;
  const running = on.keep(begin('script', ['-qfec', line, '/dev/null'], { DOCKER_CONFIG: join(on.cluster.directory, 'docker'), SHELL: '/bin/sh' }));
  return {
    type: (keys) => { running.child.stdin?.write(keys); },
    text: () => running.stdout(),
    printed: async (text) => await untilPrinted(running, text),
    prompt: async () => await untilPrinted(running, /[#$] /),
    async resize(size) {
      const device = await terminalOf(running.child.pid ?? 0);
      spawnSync('stty', ['-F', device, 'rows', String(size.rows), 'cols', String(size.columns)]);
    },
    exitCode: async () => (await running.ended).code,
  };
}

/** The terminal that the child of `script` has as its stdin. */
async function terminalOf(script: number): Promise<string> {
  let device = '';
  await eventually('the terminal is found', async () => {
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const stat = await readFile(`/proc/${entry}/stat`, 'latin1').catch(() => ''); // it ended while we looked
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== script) continue;
      device = await readlink(`/proc/${entry}/fd/0`).catch(() => '');
    }
    return device.startsWith('/dev/');
  });
  return device;
}
