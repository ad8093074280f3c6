// Bundles packages/runv into one file. A runtime's verb takes milliseconds, and loading some forty modules one by one took longer than the verb
// (measured: 20 ms of CPU for `runv exec`). It must not change what the sources do.
import { mkdir, readFile, readdir, rename, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { repositoryDir } from './config.ts';

const packages = join(repositoryDir, 'packages');
/** What bin/runv executes. */
export const runvBundle = join(packages, 'runv', 'build', 'runv.cjs');
/** Everything that goes into it. */
const sources = [join(packages, 'runv', 'src'), join(packages, 'native', 'src'), join(import.meta.dirname, 'build-runv.ts')];

/** A module's own directory stays that of its source, so that what it looks for beside itself is found. */
const ownDirectories: Plugin = {
  name: 'own directories',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const place = `require('node:path').join(__dirname, ${JSON.stringify(relative(dirname(runvBundle), dirname(path)))})`;
      return { contents: (await readFile(path, 'utf8')).replaceAll('import.meta.dirname', place), loader: 'ts' };
    });
  },
};

async function newest(path: string): Promise<number> {
  const about = await stat(path);
  if (!about.isDirectory()) return about.mtimeMs;
  const names = await readdir(path, { recursive: true });
  return Math.max(...await Promise.all(names.map(async (name) => (await stat(join(path, name))).mtimeMs)));
}

/** Brings the bundle up to date; nothing when it is newer than its sources. Several processes at once do no harm. */
export async function buildRunv(): Promise<void> {
  const built = await stat(runvBundle).then(({ mtimeMs }) => mtimeMs, () => 0); // not there: never built
  if (built > Math.max(...await Promise.all(sources.map(newest)))) return;
  await mkdir(dirname(runvBundle), { recursive: true });
  const temporary = `${runvBundle}.${process.pid}`;
  await build({ entryPoints: [join(packages, 'runv', 'src', 'main.ts')], outfile: temporary, bundle: true, platform: 'node', format: 'cjs', target: 'node24', plugins: [ownDirectories], logLevel: 'error' });
  await rename(temporary, runvBundle);
}
