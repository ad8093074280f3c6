// What the network has given to whom, in one file per container under the run directory: it outlives the agent and ends with a reboot, as the namespaces do.
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetworkAttachment } from '@pouch/domain';

/** `attachment` null: ADD had begun and is not known to have ended. */
export interface AttachmentRecord {
  readonly netnsPath: string;
  readonly ports: NetworkAttachment['ports'];
  readonly attachment: NetworkAttachment | null;
}

export class Attachments {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async read(id: string): Promise<AttachmentRecord | null> {
    try {
      return JSON.parse(await readFile(this.#path(id), 'utf8')) as AttachmentRecord;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Whole or not at all, also when the agent is killed. */
  async write(id: string, record: AttachmentRecord): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const next = `${this.#path(id)}.new`;
    await writeFile(next, JSON.stringify(record), { mode: 0o600 });
    await rename(next, this.#path(id));
  }

  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  async ids(): Promise<string[]> {
    try {
      return (await readdir(this.#dir)).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #path(id: string): string {
    return join(this.#dir, `${id}.json`);
  }
}
