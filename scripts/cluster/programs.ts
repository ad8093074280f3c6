// Finds programs of the system by name. Starts none of them.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { environment } from '../config.ts';

/** The first executable of that name in the search path and the sbin directories. */
export async function locateProgram(name: string): Promise<string | undefined> {
  for (const directory of environment.path) {
    const path = join(directory, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      continue; // the next directory may have it
    }
  }
  return undefined;
}
