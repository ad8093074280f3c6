// `pouch load`: sends an image archive, from a file or stdin, and shows how far it is.
import { createReadStream, statSync } from 'node:fs';
import { Transform, type Readable } from 'node:stream';
import type { Context } from '../context.ts';
import type { ProgressLine } from '../engine/shapes.ts';
import { CliError, UsageError } from '../errors.ts';
import { showProgress } from '../progress/progress.ts';
import { humanSize } from '../format/sizes.ts';
import { progressBar } from '../progress/progress.ts';

export interface LoadFlags {
  readonly input?: string;
  readonly quiet?: boolean;
}

export async function load(context: Context, flags: LoadFlags): Promise<number> {
  if (flags.input === undefined && process.stdin.isTTY) throw new UsageError('load reads an archive', 'pouch load -i archive.tar, or pouch load < archive.tar');
  const bytes = flags.input === undefined ? null : sizeOf(flags.input);
  const source: Readable = flags.input === undefined ? process.stdin : createReadStream(flags.input);
  const watched = flags.quiet === true || !process.stdout.isTTY ? source : source.pipe(uploadBar(bytes));
  const client = await context.client();
  const lines = client.lines<ProgressLine>('POST', '/images/load', { query: { quiet: flags.quiet === true ? 1 : 0 }, upload: { stream: watched, contentType: 'application/x-tar', bytes } });
  const summary = await showProgress(lines, process.stdout, flags.quiet === true);
  if (flags.quiet === true) for (const text of summary.filter((one) => /^loaded/i.test(one))) process.stdout.write(`${text}\n`);
  return 0;
}

function sizeOf(path: string): number | null {
  try {
    const found = statSync(path);
    if (found.isDirectory()) throw new CliError(`${path} is a directory, not an archive`);
    return found.isFile() ? found.size : null;
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** A line on the terminal that says how much has been sent; it is wiped when all has. */
function uploadBar(total: number | null): Transform {
  let sent = 0;
  let shownAtMs = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.length;
      if (Date.now() - shownAtMs > 100) {
        shownAtMs = Date.now();
        process.stdout.write(`\r\x1b[2KSending ${total === null ? humanSize(sent) : progressBar(sent, total)}`);
      }
      done(null, chunk);
    },
    flush(done) {
      process.stdout.write('\r\x1b[2K');
      done();
    },
  });
}
