// `npm test`: sets up what the tests need, then typecheck, lint, unit, integration and end-to-end tests; says at the end what was skipped
// and why, and counts. It must not touch a running cluster: the tests start their own.
//   npm test -- [unit|integration|e2e|typecheck|lint|PATH …]
import { spawn } from 'node:child_process';
import { glob } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { build } from './build.ts';
import { endOrphanedClusters } from './cluster/orphans.ts';
import { repositoryDir } from './config.ts';
import { provideMachines } from './machines.ts';
import { provideNatsServer } from './nats-server.ts';
import { clusterNeeds, installMissing, testNeeds } from './system-packages.ts';
import { Queue, type Job } from './testing/lanes.ts';
import { runFile } from './testing/run-file.ts';

/** One file may take this long: a hang fails with the file's name. */
const fileTimeoutMs = 8 * 60_000;
/** No file is begun after this; below what CI allows for everything together. */
const totalTimeoutMs = 50 * 60_000;

/** Of the files that break clusters those that last longest: they come first, so that not one of them is left over when everything else is done. */
const longest = ['faults/cluster-faults.test.ts', 'faults/full-disks.test.ts', 'faults/nats-away.test.ts', 'faults/host-loss.test.ts', 'scripts/cluster.test.ts'].map((file) => join(repositoryDir, 'tests/e2e', file));
/** One for each core of the smallest machine that is to run all this. */
const lanes = 2;

const words = ['typecheck', 'lint', 'unit', 'integration', 'e2e'];
const total = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
const failures: string[] = [];
/** Failed first and passed when run again by itself: shown, so that somebody looks. */
const unsteady: string[] = [];
/** Of each file, with both runs where there were two. */
const took: { readonly file: string; readonly seconds: number }[] = [];
const slowestShown = 12;
const began = Date.now();

function heading(text: string): void {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, 100 - text.length))}`);
}

async function setUp(): Promise<void> {
  const say = (line: string): void => console.log(`  ${line}`);
  if (process.getuid?.() === 0) {
    await installMissing(clusterNeeds, say);
    // The tests that need these skip themselves, with the reason, where they cannot be had.
    await installMissing(testNeeds, say).catch((error: unknown) => say(error instanceof Error ? error.message : String(error)));
  } else {
    say('not root: no packages are installed, and the tests that need root are skipped');
  }
  await build();
  await provideNatsServer(say);
  // As above: tests of virtual machines skip themselves without.
  if (process.getuid?.() === 0) await provideMachines(say);
}

/** Runs a checker; it counts as one test. */
async function check(name: string, program: string, args: readonly string[]): Promise<void> {
  const child = spawn(join(repositoryDir, 'node_modules', '.bin', program), args, { cwd: repositoryDir, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number>((done) => {
    child.once('error', () => done(1));
    child.once('exit', (exitCode) => done(exitCode ?? 1));
  });
  total[code === 0 ? 'passed' : 'failed']++;
  if (code === 0) console.log(`✔ ${name}`);
  else failures.push(name);
}

async function testFiles(...directories: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const directory of directories) {
    for await (const file of glob(`tests/${directory}/**/*.test.ts`, { cwd: repositoryDir })) found.push(join(repositoryDir, file));
  }
  return found.sort();
}

async function runAndTell(file: string): Promise<void> {
  if (Date.now() - began > totalTimeoutMs) {
    total.failed++;
    failures.push(`${relative(repositoryDir, file)}: not begun, ${totalTimeoutMs / 60_000} minutes were over`);
    return;
  }
  const first = await runFile(file, fileTimeoutMs);
  if (first.failed > 0) await endOrphans();
  // Real servers on a busy machine: one more try tells a broken test from a disturbed one.
  const result = first.failed > 0 ? await runFile(file, fileTimeoutMs) : first;
  if (result !== first) {
    console.log(`\n${relative(repositoryDir, file)} failed and is run again; the first run:\n${first.text.trimEnd()}`);
    if (result.failed === 0) unsteady.push(...first.failures);
  }
  total.passed += result.passed;
  total.failed += result.failed;
  total.skipped += result.skipped;
  skips.push(...result.skips);
  failures.push(...result.failures);
  took.push({ file: relative(repositoryDir, file), seconds: result === first ? first.seconds : first.seconds + result.seconds });
  console.log(`\n${relative(repositoryDir, file)} (${result.seconds.toFixed(1)} s)\n${result.text.trimEnd()}`);
}

/** Milliseconds that the processors of this machine have worked, and have been there, since it was started. */
function processorTime(): { readonly busyMs: number; readonly allMs: number } {
  const times = cpus().map((each) => each.times);
  const sum = (of: (time: (typeof times)[number]) => number): number => times.reduce((total, time) => total + of(time), 0);
  const idleMs = sum(({ idle }) => idle);
  const busyMs = sum(({ user, nice, sys, irq }) => user + nice + sys + irq);
  return { busyMs, allMs: busyMs + idleMs };
}

let endingOrphans = Promise.resolve();

/** After a file that was ended: what it had started is not to slow down all that follow. One at a time, for two would end the same. */
async function endOrphans(): Promise<void> {
  endingOrphans = endingOrphans.then(() => endOrphanedClusters((line) => console.log(line))).catch((error: unknown) => {
    total.failed++;
    failures.push(`clusters of tests that were left behind could not be ended: ${String(error)}`);
  });
  await endingOrphans;
}

/** The files as jobs; the first one that is begun and the last one that is done say so. */
function partOf(name: string, files: readonly string[]): Job[] {
  let [beganMs, left] = [0, files.length];
  return files.map((file) => async () => {
    if (beganMs === 0) heading(`${name}: ${files.length} files`);
    beganMs ||= Date.now();
    await runAndTell(file);
    if (--left === 0) console.log(`\n${name}: done after ${Math.round((Date.now() - beganMs) / 1_000)} s`);
  });
}

async function main(wanted: readonly string[]): Promise<void> {
  const wants = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
  const paths = wanted.filter((name) => !words.includes(name)).map((path) => resolve(path));
  if (wants('unit') || wants('integration') || wants('e2e') || paths.length > 0) {
    heading('set-up');
    await setUp();
  }
  const [runBeganMs, before] = [Date.now(), processorTime()];
  const found = async (part: string, ...directories: string[]): Promise<string[]> => (wants(part) ? await testFiles(...directories) : []);
  const checks = [['typecheck', 'tsc', ['-p', '.']], ['lint', 'eslint', ['.', '--max-warnings', '0']]] as const;
  const breaking = await found('e2e', 'e2e/faults', 'e2e/scripts');
  // They wait more than they work, for elections and hosts that are given up, and have clusters of their own: a lane beside those whose work keeps the cores busy, two once these are done.
  const beside = new Queue(partOf('e2e, faults', [...longest.filter((file) => breaking.includes(file)), ...breaking.filter((file) => !longest.includes(file))]));
  let besideDone = Promise.resolve();
  const working = new Queue([
    ...checks.filter(([name]) => wants(name)).map(([name, program, args]) => async () => { await check(name, program, args); }),
    // Unit tests and simulations only compute: nothing beside them, so that as many seeds are run as may be.
    ...partOf('unit', await found('unit', 'unit', 'simulation')),
    async () => { await Promise.resolve(); besideDone = beside.work(1); },
    ...partOf('integration', await found('integration', 'integration')),
    ...partOf('e2e', (await found('e2e', 'e2e')).filter((file) => !breaking.includes(file))),
  ]);
  await working.work(lanes);
  await Promise.all([besideDone, beside.work(lanes - 1)]);
  await new Queue(partOf('chosen', paths)).work(1);
  await endOrphans();
  const after = processorTime();
  console.log(`\nall took ${Math.round((Date.now() - runBeganMs) / 1_000)} s; the processors were ${Math.round(100 * (after.busyMs - before.busyMs) / (after.allMs - before.allMs))} % busy`);

  if (took.length > 1) {
    heading('the slowest files');
    for (const { file, seconds } of took.toSorted((a, b) => b.seconds - a.seconds).slice(0, slowestShown)) console.log(`${seconds.toFixed(1).padStart(6)} s  ${file}`);
  }
  heading(`result, after ${Math.round((Date.now() - began) / 1_000)} s`);
  for (const line of skips) console.log(`skipped  ${line}`);
  for (const line of unsteady) console.log(`UNSTEADY ${line}`);
  for (const line of failures) console.log(`FAILED   ${line}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  total.failed++;
  console.error(`FAILED   ${error instanceof Error ? error.message : String(error)}`);
}
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
