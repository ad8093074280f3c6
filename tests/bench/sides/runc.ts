// Bare `runc run` of the same spec on a plain directory: the floor below everything that starts a runc container.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringifySpec } from '@pouch/oci';
import { removeCgroups } from '../../../scripts/cluster/leftovers.ts';
import { locateProgram } from '../../../scripts/cluster/programs.ts';
import type { Session } from '../session.ts';
import { newId, specMaker, type SpecMaker } from './workload.ts';

const runFile = promisify(execFile);

/** Docker's default runtime and Pouch's; one path for every side. */
export async function locateRunc(): Promise<string> {
  const path = await locateProgram('runc');
  if (path === undefined) throw new Error('runc is not installed');
  return path;
}

export class BareRunc {
  readonly #runc: string;
  readonly #directory: string;
  readonly #specs: SpecMaker;

  private constructor(runc: string, directory: string, specs: SpecMaker) {
    this.#runc = runc;
    this.#directory = directory;
    this.#specs = specs;
  }

  static async start(session: Session, runc: string): Promise<BareRunc> {
    const parent = `pouch-bench-${newId().slice(0, 8)}`;
    const directory = await session.directory('runc');
    session.undo('control groups', () => removeCgroups(parent));
    const busybox = await locateProgram('busybox');
    if (busybox === undefined) throw new Error('busybox-static is not installed');
    const rootfs = join(directory, 'rootfs');
    for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'root', 'tmp']) await mkdir(join(rootfs, name), { recursive: true });
    await runFile('cp', [busybox, join(rootfs, 'bin', 'busybox')]);
    await runFile('ln', ['-s', 'busybox', join(rootfs, 'bin', 'true')]);
    return new BareRunc(runc, directory, await specMaker(directory, parent));
  }

  /** Writes the spec, runs it, and takes the bundle away. */
  async lifecycle(args: readonly string[]): Promise<Record<string, number>> {
    const id = newId();
    const bundle = join(this.#directory, id);
    const began = performance.now();
    await mkdir(bundle);
    await writeFile(join(bundle, 'config.json'), stringifySpec(this.#specs({ id, args, rootfsPath: join(this.#directory, 'rootfs') })));
    const child = spawn(this.#runc, ['--root', join(this.#directory, 'state'), 'run', '--bundle', bundle, id], { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => { words += text; });
    const [code] = await once(child, 'close') as [number | null];
    await rm(bundle, { recursive: true });
    const total = performance.now() - began;
    if (code !== 0) throw new Error(`runc run ended with ${code}: ${words.slice(-500)}`);
    return { total };
  }
}
