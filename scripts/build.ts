// Builds what cannot be run from its source: the C programs of packages/native, and runv as one file.
import { buildNative } from './build-native.ts';
import { buildRunv } from './build-runv.ts';

/** Does nothing where all is newer than its sources. Throws with the compiler's words. */
export async function build(): Promise<void> {
  await Promise.all([buildNative(), buildRunv()]);
}

if (import.meta.main) await build();
