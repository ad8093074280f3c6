// Builds packages/native with make, which does nothing when the programs are newer than their sources. It must not install compilers.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryDir } from './config.ts';

/** Brings packages/native/build up to date; throws with the compiler's words. */
export async function buildNative(): Promise<void> {
  const directory = join(repositoryDir, 'packages', 'native');
  try {
    await promisify(execFile)('make', ['--silent', '-C', directory], { timeout: 300_000, maxBuffer: 4 << 20 });
  } catch (cause) {
    const words = cause instanceof Error && 'stderr' in cause ? String(cause.stderr) : String(cause);
    throw new Error(`packages/native could not be built (it needs make, and musl-tools or gcc with a static libc): ${words.trim() || String(cause)}`, { cause });
  }
}
