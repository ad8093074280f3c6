// config.json and process.json as others write them: every part may be missing. Types and reading only; what they mean is decided elsewhere.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, messageOf } from './failure.ts';
import type { HookSet } from './hooks.ts';

export interface ProcessSpec {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user?: { readonly uid?: number; readonly gid?: number; readonly umask?: number; readonly additionalGids?: readonly number[] };
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly capabilities?: Readonly<Partial<Record<'bounding' | 'effective' | 'inheritable' | 'permitted' | 'ambient', readonly string[]>>>;
  readonly rlimits?: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  readonly noNewPrivileges?: boolean;
  readonly oomScoreAdj?: number;
}

export interface MountSpec { readonly destination: string; readonly type?: string; readonly source?: string; readonly options?: readonly string[] }

export interface DeviceSpec { readonly type: string; readonly path: string; readonly major?: number; readonly minor?: number; readonly fileMode?: number; readonly uid?: number; readonly gid?: number }

export interface ResourcesSpec {
  readonly devices?: readonly { readonly allow: boolean; readonly type?: string; readonly major?: number; readonly minor?: number; readonly access?: string }[];
  readonly memory?: { readonly limit?: number; readonly reservation?: number; readonly swap?: number };
  readonly cpu?: { readonly shares?: number; readonly quota?: number; readonly period?: number; readonly cpus?: string; readonly mems?: string };
  readonly pids?: { readonly limit?: number };
  readonly blockIO?: { readonly weight?: number };
}

export interface LinuxSpec {
  readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
  readonly devices?: readonly DeviceSpec[];
  readonly cgroupsPath?: string;
  readonly resources?: ResourcesSpec;
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly uidMappings?: readonly unknown[];
}

export interface RuntimeSpec {
  readonly ociVersion?: string;
  readonly process?: ProcessSpec;
  readonly root?: { readonly path: string; readonly readonly?: boolean };
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts?: readonly MountSpec[];
  readonly hooks?: HookSet;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: LinuxSpec;
}

const maxBytes = 16 << 20;

export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new Failure('bad-spec', `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (text.length > maxBytes) throw new Failure('bad-spec', `${path} has more than ${maxBytes} characters`);
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    throw new Failure('bad-spec', `${path} is no JSON: ${messageOf(cause)}`, { cause });
  }
  throw new Failure('bad-spec', `${path} is no object`);
}

export async function readSpec(bundle: string): Promise<RuntimeSpec> {
  const spec = (await readJson(join(bundle, 'config.json'))) as RuntimeSpec;
  if (typeof spec.root?.path !== 'string' || spec.root.path === '') throw new Failure('bad-spec', 'config.json: root.path is missing');
  checkProcess(spec.process);
  return spec;
}

/** Throws `bad-spec` where there is nothing to run. */
export function checkProcess(wanted: ProcessSpec | undefined): asserts wanted is ProcessSpec & { readonly args: readonly string[] } {
  if (!Array.isArray(wanted?.args) || wanted.args.length === 0) throw new Failure('bad-spec', 'process.args is empty: there is nothing to run');
  if (wanted.cwd !== undefined && !wanted.cwd.startsWith('/')) throw new Failure('bad-spec', `process.cwd ${JSON.stringify(wanted.cwd)} is not an absolute path`);
  for (const text of [...wanted.args, ...(wanted.env ?? []), wanted.cwd ?? '/']) if (typeof text !== 'string' || text.includes('\0')) throw new Failure('bad-spec', 'process: a string holds a NUL or is none');
}
