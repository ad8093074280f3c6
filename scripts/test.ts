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
import { runFile } from './testing/run-file.ts';

/** One file may take this long: a hang fails with the file's name. */
const fileTimeoutMs = 8 * 60_000;
/** No file is begun after this; below what CI allows for everything together. */
const totalTimeoutMs = 50 * 60_000;

/**
 * Of those that break things these wait more than they work: for elections of NATS servers, for hosts that are given up, for what is started again. Each has a cluster of its own, so two
 * go beside each other, the longest first; the others, which need the machine's power or count what is left on it, run by themselves.
 */
const mostlyWaiting = ['faults/cluster-faults.test.ts', 'faults/full-disks.test.ts', 'faults/nats-away.test.ts', 'faults/host-loss.test.ts', 'scripts/cluster.test.ts', 'faults/history.test.ts'];

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

async function runPart(name: string, atOnce: number, files: readonly string[]): Promise<void> {
  if (files.length === 0) return;
  heading(`${name}: ${files.length} files, ${atOnce} at a time`);
  const [partBegan, before] = [Date.now(), processorTime()];
  const left = [...files];
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) await runAndTell(file);
  }));
  await endOrphanedClusters((line) => console.log(line));
  const after = processorTime();
  console.log(`\n${name} took ${Math.round((Date.now() - partBegan) / 1_000)} s; the processors were ${Math.round(100 * (after.busyMs - before.busyMs) / (after.allMs - before.allMs))} % busy`);
}

async function main(wanted: readonly string[]): Promise<void> {
  const wants = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
  const paths = wanted.filter((name) => !words.includes(name)).map((path) => resolve(path));
  if (wants('unit') || wants('integration') || wants('e2e') || paths.length > 0) {
    heading('set-up');
    await setUp();
  }
  const checks = [['typecheck', 'tsc', ['-p', '.']], ['lint', 'eslint', ['.', '--max-warnings', '0']]] as const;
  const wantedChecks = checks.filter(([name]) => wants(name));
  if (wantedChecks.length > 0) heading(wantedChecks.map(([name]) => name).join(', '));
  await Promise.all(wantedChecks.map(async ([name, program, args]) => { await check(name, program, args); }));
  // Two cores: two files at a time.
  if (wants('unit')) await runPart('unit', 2, await testFiles('unit', 'simulation'));
  if (wants('integration')) await runPart('integration', 2, await testFiles('integration'));
  if (wants('e2e')) {
    const breaking = await testFiles('e2e/faults', 'e2e/scripts');
    const waiting = mostlyWaiting.map((file) => join(repositoryDir, 'tests/e2e', file));
    await runPart('e2e', 2, (await testFiles('e2e')).filter((file) => !breaking.includes(file)));
    await runPart('e2e, mostly waiting', 2, waiting);
    await runPart('e2e, alone', 1, breaking.filter((file) => !waiting.includes(file)));
  }
  await runPart('chosen', 1, paths);

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
