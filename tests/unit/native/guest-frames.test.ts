// pouch-init's reading of the channel, on the host and under the compiler's sanitizers, with frames that are partly spoilt.
import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..', '..', '..');
const sources = join(repository, 'packages', 'native', 'c', 'vm');

/** Compiles the check; without the sanitizers where the compiler lacks their libraries. False: there is no compiler. */
async function compile(program: string): Promise<boolean> {
  const files = [join(repository, 'tests', 'fixtures', 'c', 'init-frames-check.c'), ...['init-channel.c', 'init-record.c', 'init-failure.c'].map((file) => join(sources, file))];
  for (const extra of [['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'], []]) {
    try {
      await run('cc', ['-std=c11', '-g', '-O1', '-I', sources, ...extra, '-o', program, ...files]);
      await run(program, ['1', '1']).catch((error: unknown) => { if (!(error instanceof Error && 'code' in error && error.code === 1)) throw error; });
      return true;
    } catch {
      continue; // without the sanitizers then, or not at all
    }
  }
  return false;
}

test('spoilt frames are neither over-read nor believed, and HELLO brings the channel back', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-frames-'));
  try {
    const program = join(directory, 'check');
    if (!await compile(program)) return context.skip('no C compiler');
    for (let i = 0; i < 3; i++) {
      const seed = randomInt(2 ** 31);
      const { stdout } = await run(program, [String(seed), '2000']).catch((error: unknown) => { throw new Error(`seed ${seed}`, { cause: error }); });
      assert.match(stdout, /answer of 16 bytes/, `seed ${seed}`);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
