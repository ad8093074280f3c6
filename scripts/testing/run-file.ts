// Runs one test file in a process of its own and tells what came of it. A file that does not end is ended, with everything it started.
import { readdir, readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { environment, repositoryDir } from '../config.ts';

export type FileResult = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** "file: test: why, in short" of each that failed. */
  readonly failures: readonly string[];
  /** "file: test: reason" of each that was skipped. */
  readonly skips: readonly string[];
  /** What a person reads. */
  readonly text: string;
  readonly seconds: number;
};

type Tally = { passed: number; failed: number; skipped: number; failures: string[]; skips: string[]; summed: boolean; underWay: Set<string> };

const outputMax = 4 * 1024 * 1024;
/** What the closing lines tell of a failure: enough to know it again, for they may be all that is kept of a run. */
const reasonMax = 600;

/** The message of what was thrown, on one line. */
function reasonOf(error: Error): string {
  const thrown = error.cause instanceof Error ? error.cause : error;
  const words = thrown.message.replace(/\s+/g, ' ').trim();
  return words.length > reasonMax ? `${words.slice(0, reasonMax)}…` : words;
}

function note(tally: Tally, name: string, event: TestEvent): void {
  if (event.type === 'test:summary') {
    if (event.data.file !== undefined) return; // the same numbers come again as the sum of the run
    const { counts } = event.data;
    tally.summed = true;
    tally.passed = counts.passed;
    tally.skipped = counts.skipped + counts.todo;
    tally.failed = counts.tests - counts.passed - tally.skipped;
  } else if (event.type === 'test:dequeue') {
    tally.underWay.add(event.data.name);
  } else if (event.type === 'test:complete') {
    tally.underWay.delete(event.data.name);
  } else if (event.type === 'test:pass' || event.type === 'test:fail') {
    const { skip } = event.data;
    if (skip !== undefined && skip !== false) tally.skips.push(`${name}: ${event.data.name}: ${typeof skip === 'string' ? skip : 'no reason given'}`);
    else if (event.type === 'test:fail' && event.data.details.type !== 'suite') tally.failures.push(`${name}: ${event.data.name}: ${reasonOf(event.data.details.error)}`);
  }
}

/** The process that runs `file` for us, and all below it. */
async function processesOf(file: string): Promise<number[]> {
  const parents = new Map<number, number>();
  let root: number | undefined;
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = await readFile(`/proc/${entry}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      parents.set(Number(entry), parent);
      if (parent === process.pid && (await readFile(`/proc/${entry}/cmdline`, 'utf8')).split('\0').includes(file)) root = Number(entry);
    } catch {
      continue; // it ended while we looked
    }
  }
  if (root === undefined) return [];
  const found = new Set([root]);
  for (let grown = true; grown;) {
    grown = false;
    for (const [pid, parent] of parents) {
      if (!found.has(parent) || found.has(pid)) continue;
      found.add(pid);
      grown = true;
    }
  }
  return [...found];
}

async function endFile(file: string): Promise<void> {
  for (const pid of await processesOf(file)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      continue; // already gone
    }
  }
}

/** `timeoutMs` bounds the file as a whole; a test in it may take as long. */
export async function runFile(file: string, timeoutMs: number): Promise<FileResult> {
  const name = relative(repositoryDir, file);
  const began = Date.now();
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, failures: [], skips: [], summed: false, underWay: new Set() };
  const reporter = new spec();
  let text = '';
  let stuck: string[] = [];
  reporter.setEncoding('utf8');
  reporter.on('data', (piece: string) => { if (text.length < outputMax) text += piece; });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stuck = [...tally.underWay].filter((each) => each !== file);
    void endFile(file);
  }, timeoutMs);
  try {
    for await (const event of run({ files: [file], concurrency: 1, cwd: repositoryDir, env: environment.tests }) as AsyncIterable<TestEvent>) {
      note(tally, name, event);
      // The totals stand at the end of the whole; here they would only repeat.
      const isTotal = event.type === 'test:summary' || (event.type === 'test:diagnostic' && event.data.file === undefined);
      if (!isTotal) reporter.write(event);
    }
  } finally {
    clearTimeout(timer);
    reporter.end();
  }
  if (timedOut || !tally.summed) {
    tally.failed = Math.max(1, tally.failed);
    tally.failures.push(timedOut ? `${name}: not done after ${timeoutMs / 1_000} s${stuck.length === 0 ? '' : ` (in ${stuck.join(' > ')})`}: ended with everything it had started` : `${name}: ended without a result`);
  }
  const { passed, failed, skipped, failures, skips } = tally;
  return { passed, failed, skipped, failures, skips, text, seconds: (Date.now() - began) / 1_000 };
}
