// The OCI runtime runv: global flags, one module per verb, and the one place where errors are told. A verb loads only what it needs.
// `start`, and `delete` and `exec` in their usual forms, are runv's front's (packages/native/c/vm/front.c), which comes before this.
import { messageOf } from './failure.ts';
import { parseGlobals, type Globals } from './globals.ts';
import { logLine } from './log.ts';

type Verb = (args: readonly string[], globals: Globals) => Promise<number> | number;

const verbs: Readonly<Record<string, () => Promise<{ readonly run: Verb }>>> = {
  create: () => import('./verbs/create.ts'),
  run: () => import('./verbs/run.ts'),
  state: () => import('./verbs/state.ts'),
  kill: () => import('./verbs/kill.ts'),
  delete: () => import('./verbs/delete.ts'),
  exec: () => import('./verbs/exec.ts'),
  ps: () => import('./verbs/ps.ts'),
  pause: () => import('./verbs/pause.ts'),
  resume: () => import('./verbs/resume.ts'),
  update: () => import('./verbs/update.ts'),
  events: () => import('./verbs/events.ts'),
  list: () => import('./verbs/list.ts'),
  spec: () => import('./verbs/spec.ts'),
  features: () => import('./verbs/features.ts'),
  kernel: () => import('./verbs/kernel.ts'),
  acceleration: () => import('./verbs/acceleration.ts'),
  'make-template': () => import('./verbs/make-template.ts'),
  'fill-pool': () => import('./verbs/fill-pool.ts'),
  'late-hooks': () => import('./verbs/late-hooks.ts'),
  pool: () => import('./verbs/pool.ts'),
  files: () => import('./verbs/files.ts'),
  'hold-files': () => import('./verbs/hold-files.ts'),
  'share-network': () => import('./verbs/share-network.ts'),
};

const versionText = 'runv version 0.1.0\nspec: 1.0.2\n';

async function main(argv: readonly string[]): Promise<number> {
  const { globals, verb, args, version, help } = parseGlobals(argv);
  if (version) {
    process.stdout.write(versionText);
    return 0;
  }
  if (help || verb === undefined || verb === 'help') {
    process.stdout.write(`runv [--root DIR] [--log FILE] [--log-format text|json] [--debug] VERB …\nverbs: ${['start', ...Object.keys(verbs)].join(', ')}\n`);
    return 0;
  }
  try {
    const load = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (load === undefined) throw new Error(`no such verb: ${verb}`);
    return await (await load()).run(args, globals);
  } catch (error) {
    const message = messageOf(error);
    logLine(globals, 'error', message);
    process.stderr.write(`${message}\n`);
    return 1;
  }
}

// No await here: main.ts is bundled as a script.
main(process.argv.slice(2)).then((code) => { process.exitCode = code; }, (error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
