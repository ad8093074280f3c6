// Puts `pouch` into PATH, with completions for the shells that are there. It must not touch a `pouch` that is not ours.
import { access, chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryDir } from './config.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const wrapperPath = '/usr/local/bin/pouch';
const signature = '# Written by Pouch\'s `npm run up`.';

const completions = [
  { shell: 'bash', directory: '/usr/share/bash-completion/completions', file: 'pouch' },
  { shell: 'zsh', directory: '/usr/share/zsh/vendor-completions', file: '_pouch' },
  { shell: 'fish', directory: '/usr/share/fish/vendor_completions.d', file: 'pouch.fish' },
] as const;

const quote = (text: string): string => `'${text.replaceAll('\'', '\'\\\'\'')}'`;

async function writeIfChanged(path: string, text: string, mode: number): Promise<boolean> {
  if (await readFile(path, 'utf8').catch(() => '') === text) return false;
  await writeFile(`${path}.new`, text);
  await chmod(`${path}.new`, mode);
  await rename(`${path}.new`, path);
  return true;
}

/** Idempotent. Says so when something else is called `pouch`. */
export async function installCli(say: (line: string) => void): Promise<void> {
  const main = join(repositoryDir, 'packages', 'cli', 'src', 'main.ts');
  if (!(await access(main).then(() => true, () => false))) return say('the command line is not part of this checkout');
  const there = await readFile(wrapperPath, 'utf8').catch(() => undefined);
  if (there !== undefined && !there.includes(signature)) return say(`${wrapperPath} is something else: left as it is; run ${main} with the pinned Node instead`);
  const wrapper = `#!/bin/sh
${signature}
exec ${quote(process.execPath)} ${quote(main)} "$@"
`;
  await mkdir('/usr/local/bin', { recursive: true });
  if (!(await writeIfChanged(wrapperPath, wrapper, 0o755))) return;
  say(`installed ${wrapperPath}`);
  for (const { shell, directory, file } of completions) {
    if (!(await access(directory).then(() => true, () => false))) continue;
    try {
      const { stdout } = await promisify(execFile)(wrapperPath, ['completion', shell], { timeout: 20_000 });
      await writeIfChanged(join(directory, file), stdout, 0o644);
    } catch (error) {
      say(`no completions for ${shell}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    }
  }
}
