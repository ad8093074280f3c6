// Runs a script under the pinned Node 24, installing the npm dependencies first when they are missing or another version:
//   node scripts/bootstrap.mjs SCRIPT.ts [ARGUMENT …]
// Plain JavaScript without dependencies, because any Node from 18 on may be what runs it. It must not install system packages.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pinnedNode = join(root, 'node_modules', '.bin', 'node');
const lockDirectory = join(root, '.pouch', 'npm.lock');

function stop(message) {
  console.error(`pouch: ${message}`);
  process.exit(1);
}

/** Whether node_modules holds what package-lock.json says; packages for other systems may be missing. */
function isInstalled() {
  let wanted;
  let installed;
  try {
    wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return false; // nothing is installed, or only half: npm puts it right
  }
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/') || entry.optional) continue;
    const have = installed[path];
    if (have === undefined || have.version !== entry.version) return false;
    if (entry.link && !existsSync(join(root, path))) return false;
  }
  return existsSync(pinnedNode);
}

/** One installation at a time: a directory is made by one process only. One whose maker has ended, which it names, is left over. */
async function withLock(work) {
  mkdirSync(dirname(lockDirectory), { recursive: true });
  const holderFile = join(lockDirectory, 'pid');
  for (let tries = 0; ; tries++) {
    try {
      mkdirSync(lockDirectory);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') stop(`${lockDirectory} cannot be made: ${error.message}`);
      const holder = holderOf(holderFile);
      if (holder === null) rmSync(lockDirectory, { recursive: true, force: true });
      else if (tries === 0) console.log(`waiting for another installation${holder === undefined ? '' : ` (process ${holder})`} to end`);
      if (tries > 9_000) stop(`another installation does not end; if there is none, remove ${lockDirectory}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  // Also when it ends in the middle, as it does when npm fails.
  const release = () => rmSync(lockDirectory, { recursive: true, force: true });
  process.once('exit', release);
  writeFileSync(holderFile, String(process.pid));
  work();
  // What it ends with later must not take another one's lock away.
  process.off('exit', release);
  release();
}

/** Id of the process that installs; null: it has ended; undefined: it has not written it yet. */
function holderOf(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    if (pid > 0) return existsSync(`/proc/${pid}`) ? pid : null;
  } catch {
    // It has the directory and not yet the file, or both are gone: the next look tells.
  }
  return ageMs(lockDirectory) > 10_000 ? null : undefined;
}

function ageMs(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function install() {
  if (isInstalled()) return;
  console.log('installing the npm dependencies and the pinned Node 24');
  // npm must not run on the Node inside the directory that it is about to replace.
  const path = (process.env.PATH ?? '').split(delimiter).filter((entry) => !entry.includes('node_modules')).join(delimiter);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(config|lifecycle|package|command|execpath|node)/i.test(name)));
  const npm = (...args) => {
    const result = spawnSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...env, PATH: path } });
    if (result.error) stop(`npm cannot be started: ${result.error.message}`);
    if (result.status !== 0) stop(`npm ${args[0]} failed; what it wrote above says why`);
  };
  // Packages bring what they need built; their own scripts would ask for a compiler, which a new machine lacks. Only the pinned Node is fetched by its script.
  npm('ci', '--ignore-scripts');
  npm('rebuild', 'node');
  if (!isInstalled()) stop('npm ended without having installed all that package-lock.json names');
  writeFileSync(join(root, '.pouch', 'npm-installed'), `${new Date().toISOString()}\n`);
}

if (process.platform !== 'linux') stop(`Pouch runs on Linux, this is ${process.platform}`);
if (Number(process.versions.node.split('.')[0]) < 18) stop(`Node 18 or newer is needed, this is ${process.version}`);
if (!isInstalled()) await withLock(install);

const child = spawn(pinnedNode, [join(root, 'scripts', process.argv[2] ?? ''), ...process.argv.slice(3)], { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.once('error', (error) => stop(`the pinned Node cannot be started: ${error.message}`));
child.once('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
