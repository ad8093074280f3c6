// Docker's seccomp profile format: reading one that a person wrote, and turning one into what an OCI runtime takes. Pure.
// Source: Docker's documentation of seccomp profiles; runtime-spec config-linux.md "Seccomp" for the result and its allowed words.
import { Findings, type Outcome } from './refusal.ts';
import type { Seccomp, SeccompArg, SeccompRule } from './runtime-spec.ts';

/** When a rule holds. Every `caps` must be had (included) or none (excluded); any of `arches`, in Go's words; `minKernel` as `4.8`. */
export interface SeccompCondition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

export interface SeccompProfileRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
  readonly includes?: SeccompCondition;
  readonly excludes?: SeccompCondition;
}

/** A profile as Docker has it. Either `archMap` or `architectures`. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls: readonly SeccompProfileRule[];
}

/** What a rule's condition is held against. */
export interface SeccompContext {
  readonly architecture: 'amd64' | 'arm64';
  readonly kernelVersion: { readonly major: number; readonly minor: number };
  /** The container's bounding set. */
  readonly capabilities: readonly string[];
}

const field = 'HostConfig.SecurityOpt';
/** Larger than any profile in use (Docker's own is 13 KiB); a bound on what one request may make us parse. */
const profileMaxBytes = 1024 * 1024;
const actions = ['KILL', 'KILL_PROCESS', 'KILL_THREAD', 'TRAP', 'ERRNO', 'TRACE', 'ALLOW', 'LOG', 'NOTIFY'].map((name) => `SCMP_ACT_${name}`);
const operators = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((name) => `SCMP_CMP_${name}`);
const flags = ['TSYNC', 'LOG', 'SPEC_ALLOW', 'WAIT_KILLABLE_RECV'].map((name) => `SECCOMP_FILTER_FLAG_${name}`);
const ociArch = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const;

type Raw = Record<string, unknown>;

/**
 * Reads a profile from the JSON text that `--security-opt seccomp=` carries.
 * Numbers beyond 2⁵³ stay exact (they become bigint). Refuses what a runtime would only fail on later, naming the place.
 */
export function parseSeccompProfile(json: string): Outcome<{ readonly profile: SeccompProfile }> {
  const findings = new Findings();
  const refuse = (message: string) => findings.refuse(field, `seccomp profile: ${message}`);
  const profile = new Reader(refuse).profile(parseJson(json, refuse));
  return findings.outcome({ profile });
}

function parseJson(json: string, refuse: (message: string) => void): Raw {
  if (Buffer.byteLength(json) > profileMaxBytes) {
    refuse(`larger than ${profileMaxBytes} bytes`);
    return {};
  }
  try {
    const exact = (_key: string, value: unknown, context?: { readonly source?: string }) =>
      typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && /^\d+$/.test(context?.source ?? '') ? BigInt(context?.source ?? '') : value;
    const value: unknown = JSON.parse(json, exact as (key: string, value: unknown) => unknown);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Raw;
    refuse('not a JSON object');
  } catch (error) {
    refuse(`not JSON: ${(error as Error).message}`);
  }
  return {};
}

/** Checks each field once; answers something of the right shape even where it refuses. Absent and null are the same, as in Go. */
class Reader {
  readonly #refuse: (message: string) => void;

  constructor(refuse: (message: string) => void) {
    this.#refuse = refuse;
  }

  profile(raw: Raw): SeccompProfile {
    const archMap = this.list(raw.archMap, 'archMap').map((entry) => {
      const map = this.object(entry, 'archMap');
      return { architecture: this.text(map.architecture, 'architecture'), subArchitectures: this.texts(map.subArchitectures, 'subArchitectures') };
    });
    const architectures = this.texts(raw.architectures, 'architectures');
    if (archMap.length > 0 && architectures.length > 0) this.#refuse("use either 'architectures' or 'archMap', not both");
    const given = this.texts(raw.flags, 'flags');
    for (const flag of given) this.oneOf(flag, flags, 'flags');
    return {
      defaultAction: this.oneOf(raw.defaultAction, actions, 'defaultAction'),
      ...this.errno(raw.defaultErrnoRet, 'defaultErrnoRet'),
      ...(archMap.length > 0 && { archMap }),
      ...(architectures.length > 0 && { architectures }),
      ...(given.length > 0 && { flags: given }),
      ...(Boolean(raw.listenerPath) && { listenerPath: this.text(raw.listenerPath, 'listenerPath') }),
      ...(Boolean(raw.listenerMetadata) && { listenerMetadata: this.text(raw.listenerMetadata, 'listenerMetadata') }),
      syscalls: this.list(raw.syscalls, 'syscalls').map((rule) => this.rule(this.object(rule, 'syscalls'))),
    };
  }

  rule(raw: Raw): SeccompProfileRule {
    const names = this.texts(raw.names, 'names');
    const single = raw.name ? this.text(raw.name, 'name') : '';
    if (names.length > 0 && single !== '') this.#refuse("use either 'name' or 'names' in a rule, not both");
    if (names.length === 0 && single === '') this.#refuse('a rule without names');
    const args = this.list(raw.args, 'args').map((arg) => this.argument(this.object(arg, 'args')));
    return {
      names: single === '' ? names : [single],
      action: this.oneOf(raw.action, actions, 'action'),
      ...this.errno(raw.errnoRet, 'errnoRet'),
      ...(args.length > 0 && { args }),
      ...(raw.includes ? { includes: this.condition(raw.includes, 'includes') } : {}),
      ...(raw.excludes ? { excludes: this.condition(raw.excludes, 'excludes') } : {}),
    };
  }

  argument(raw: Raw): SeccompArg {
    const index = this.unsigned(raw.index ?? 0, 'index');
    if (index > 5) this.#refuse(`argument index ${index}: a call has six, 0 to 5`);
    return { index: Number(index), value: this.unsigned(raw.value ?? 0, 'value'), valueTwo: this.unsigned(raw.valueTwo ?? 0, 'valueTwo'), op: this.oneOf(raw.op, operators, 'op') };
  }

  condition(value: unknown, name: string): SeccompCondition {
    const raw = this.object(value, name);
    const minKernel = raw.minKernel ? this.text(raw.minKernel, 'minKernel') : undefined;
    if (minKernel !== undefined && parseKernelVersion(minKernel) === undefined) this.#refuse(`minKernel "${minKernel}" is not like 4.8`);
    return {
      caps: this.texts(raw.caps, 'caps'),
      arches: this.texts(raw.arches, 'arches'),
      ...(minKernel !== undefined && { minKernel }),
    };
  }

  errno<K extends string>(value: unknown, name: K): { [P in K]?: number } {
    return value === undefined || value === null ? {} : ({ [name]: Number(this.unsigned(value, name)) } as { [P in K]?: number });
  }

  unsigned(value: unknown, name: string): number | bigint {
    if (typeof value === 'bigint' ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && (value as number) >= 0) return value as number | bigint;
    this.#refuse(`${name} is not an unsigned 64-bit number`);
    return 0;
  }

  oneOf(value: unknown, allowed: readonly string[], name: string): string {
    if (typeof value === 'string' && allowed.includes(value)) return value;
    // Exact numbers are bigints, which JSON.stringify throws at.
    const shown = JSON.stringify(value, (_key, field: unknown) => (typeof field === 'bigint' ? String(field) : field)) as string | undefined;
    this.#refuse(`${name} ${shown ?? 'is missing:'} must be one of ${allowed.join(', ')}`);
    return allowed[0] ?? '';
  }

  text(value: unknown, name: string): string {
    if (typeof value === 'string' && value !== '') return value;
    this.#refuse(`${name} is not a text`);
    return '';
  }

  texts(value: unknown, name: string): string[] {
    return this.list(value, name).map((entry) => this.text(entry, name));
  }

  list(value: unknown, name: string): unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.#refuse(`${name} is not a list`);
    return [];
  }

  object(value: unknown, name: string): Raw {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Raw;
    this.#refuse(`${name} is not an object`);
    return {};
  }
}

/** First two numbers of a kernel's release: `6.1.0-18-amd64` → 6, 1. */
export function parseKernelVersion(release: string): { readonly major: number; readonly minor: number } | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?:[.\-+_ ]|$)/.exec(release);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

function atLeast(minKernel: string, kernel: SeccompContext['kernelVersion']): boolean {
  const min = parseKernelVersion(minKernel);
  return min !== undefined && (kernel.major > min.major || (kernel.major === min.major && kernel.minor >= min.minor));
}

function holds({ includes = {}, excludes = {} }: SeccompProfileRule, context: SeccompContext): boolean {
  const has = (cap: string) => context.capabilities.includes(cap);
  if (!(includes.caps ?? []).every(has)) return false;
  if ((includes.arches ?? []).length > 0 && !includes.arches?.includes(context.architecture)) return false;
  if (includes.minKernel !== undefined && !atLeast(includes.minKernel, context.kernelVersion)) return false;
  if ((excludes.caps ?? []).some(has)) return false;
  if (excludes.arches?.includes(context.architecture)) return false;
  return excludes.minKernel === undefined || !atLeast(excludes.minKernel, context.kernelVersion);
}

/** The filter for one container on one host: the rules whose conditions hold there. */
export function seccompFor(profile: SeccompProfile, context: SeccompContext): Seccomp {
  const native = ociArch[context.architecture];
  const mapped = profile.archMap?.find((entry) => entry.architecture === native);
  const architectures = mapped === undefined ? (profile.architectures ?? []) : [native, ...mapped.subArchitectures];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined && { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures.length > 0 && { architectures: [...architectures] }),
    ...(profile.flags !== undefined && { flags: [...profile.flags] }),
    ...(profile.listenerPath !== undefined && { listenerPath: profile.listenerPath }),
    ...(profile.listenerMetadata !== undefined && { listenerMetadata: profile.listenerMetadata }),
    syscalls: profile.syscalls.filter((rule) => holds(rule, context)).map((rule): SeccompRule => ({
      names: [...rule.names],
      action: rule.action,
      ...(rule.errnoRet !== undefined && { errnoRet: rule.errnoRet }),
      ...(rule.args !== undefined && { args: rule.args.map((arg) => ({ ...arg })) }),
    })),
  };
}
