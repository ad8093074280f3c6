// OCI hooks (config.md, POSIX-platform Hooks): programs of the host that are told the container's state on their standard input.
// It runs those whose programs are the host's, in the runtime's namespaces or the container's as far as that is the host's; the others are the guest's to run
// (packages/native/c/vm/init-hook.c), and here only become records of SPAWN.
import { spawn } from 'node:child_process';
import { Failure, messageOf } from './failure.ts';
import { spawnTag } from './protocol/ops.ts';
import { counted, record, u32 } from './protocol/records.ts';

export interface Hook { readonly path: string; readonly args?: readonly string[]; readonly env?: readonly string[]; readonly timeout?: number }

export interface HookSet {
  readonly prestart?: readonly Hook[]; readonly createRuntime?: readonly Hook[]; readonly createContainer?: readonly Hook[];
  readonly startContainer?: readonly Hook[]; readonly poststart?: readonly Hook[]; readonly poststop?: readonly Hook[];
}

/** When the hook says no limit. */
const defaultTimeoutMs = 60_000;
const maxWords = 2_000;

/** As many as the guest takes. */
const maxGuestHooks = 16;
/** A start is answered within a minute, all of its hooks included. */
const guestHooksMs = 50_000;

/** startContainer's as records of SPAWN: programs of the container, run in it before its own. Throws `bad-spec`. */
export function guestHooks({ startContainer = [] }: HookSet, state: Readonly<Record<string, unknown>>): Buffer {
  if (startContainer.length === 0) return Buffer.alloc(0);
  if (startContainer.length > maxGuestHooks) throw new Failure('bad-spec', `hooks.startContainer: ${startContainer.length} are more than ${maxGuestHooks}`);
  const strings = (list: readonly string[]): Buffer => Buffer.concat([u32(list.length), ...list.map(counted)]);
  return Buffer.concat([
    ...startContainer.map(({ path, args = [path], env = [], timeout }) => {
      if (typeof path !== 'string' || !path.startsWith('/')) throw new Failure('bad-spec', `hooks.startContainer: path ${JSON.stringify(path)} is not an absolute path`);
      if ([path, ...args, ...env].some((text) => typeof text !== 'string' || text.includes('\0'))) throw new Failure('bad-spec', `hooks.startContainer: ${path}: an argument or a variable holds a NUL or is no string`);
      if (timeout !== undefined && !(timeout > 0)) throw new Failure('bad-spec', `hooks.startContainer: ${path}: timeout ${timeout} is not greater than zero`);
      const limitMs = Math.min(Math.ceil(timeout === undefined ? guestHooksMs : timeout * 1000), Math.floor(guestHooksMs / startContainer.length));
      return record(spawnTag.hook, u32(limitMs), counted(path), strings(args.length === 0 ? [path] : args), strings(env));
    }),
    record(spawnTag.hookState, JSON.stringify(state)),
  ]);
}

async function runHook(kind: string, hook: Hook, state: string, netns?: string): Promise<void> {
  const [argv0 = hook.path, ...args] = hook.args ?? [];
  const env = Object.fromEntries((hook.env ?? []).map((pair) => [pair.slice(0, Math.max(0, pair.indexOf('='))), pair.slice(pair.indexOf('=') + 1)]));
  const options = { env, stdio: ['pipe', 'ignore', 'pipe'] as ['pipe', 'ignore', 'pipe'], cwd: '/' };
  const child = netns === undefined ? spawn(hook.path, args, { ...options, argv0 }) : spawn('/usr/bin/nsenter', [`--net=${netns}`, '--', hook.path, ...args], options);
  let words = '';
  child.stderr.on('data', (piece: Buffer) => { words = (words + piece.toString('utf8')).slice(-maxWords); });
  child.stdin.on('error', () => { /* it need not read its input */ });
  child.stdin.end(state);
  const timer = setTimeout(() => child.kill('SIGKILL'), hook.timeout === undefined ? defaultTimeoutMs : hook.timeout * 1000);
  const end = await new Promise<string | undefined>((settle) => {
    child.once('error', (error) => settle(error.message));
    child.once('close', (code, signal) => settle(code === 0 ? undefined : signal === null ? `exit status ${code}` : `ended by ${signal}`));
  });
  clearTimeout(timer);
  if (end !== undefined) throw new Failure('hook', `error running ${kind} hook ${hook.path}: ${end}${words === '' ? '' : `: ${words.trim()}`}`);
}

/**
 * Those after the start and after the deletion (runtime-spec 1.0.2, lifecycle): all of them run, and one that fails is a warning, for what it comes
 * after has happened.
 */
export async function runLateHooks(kind: 'poststart' | 'poststop', hooks: HookSet, state: Readonly<Record<string, unknown>>): Promise<void> {
  for (const hook of hooks[kind] ?? []) {
    try {
      await runHook(kind, hook, JSON.stringify(state));
    } catch (error) {
      process.stderr.write(`warning: ${messageOf(error)}\n`);
    }
  }
}

/**
 * Runs them one after the other; the first that fails ends it. createContainer's are the host's programs in the container's namespaces: of these the
 * host has the network's (`netns`), the others are the guest's.
 */
export async function runCreateHooks(hooks: HookSet, state: Readonly<Record<string, unknown>>, netns: string): Promise<void> {
  for (const kind of ['prestart', 'createRuntime', 'createContainer'] as const) {
    for (const hook of hooks[kind] ?? []) await runHook(kind, hook, JSON.stringify(state), kind === 'createContainer' ? netns : undefined);
  }
}
