// A process of a container, its first or an exec'd one, as the runtime takes it. Pure.
import { boundingSet, processCapabilities } from './capabilities.ts';
import { buildEnvironment } from './environment.ts';
import type { HostFacts, ResolvedUser, ResourceLimits } from './input.ts';
import { Findings, type Outcome } from './refusal.ts';
import { buildOomScoreAdj, buildRlimits } from './resources.ts';
import type { Process } from './runtime-spec.ts';

export interface ProcessInput {
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Absolute; empty means `/`. */
  readonly cwd: string;
  readonly user: ResolvedUser;
  readonly hostname: string;
  readonly tty: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly noNewPrivileges?: boolean;
  readonly resources?: Pick<ResourceLimits, 'ulimits' | 'oomScoreAdj'>;
}

/** A process with what was noticed on the way; refuses an empty command and what `capabilities` and `resources` refuse. */
export function buildProcess(input: ProcessInput, host: HostFacts): Outcome<{ readonly process: Process; readonly warnings: readonly string[] }> {
  const findings = new Findings();
  const process = processOf(input, host, findings);
  return findings.outcome({ process, warnings: findings.warnings });
}

/** As `buildProcess`, within a larger build. */
export function processOf(input: ProcessInput, host: HostFacts, findings: Findings): Process {
  const { args, env, cwd, user, hostname, tty, consoleSize, capAdd = [], capDrop = [], privileged = false, noNewPrivileges = false, resources } = input;
  if (args.length === 0 || args[0] === '') findings.refuse('Cmd', 'no command specified: neither the image nor the request says what to run');
  if (cwd !== '' && !cwd.startsWith('/')) findings.refuse('WorkingDir', `the working directory ${JSON.stringify(cwd)} must be an absolute path`);
  if ([...args, ...env, cwd].some((text) => text.includes('\0'))) findings.refuse('Cmd', 'the command, its environment and its directory cannot hold a zero byte');
  if (env.some((entry) => entry.startsWith('='))) findings.refuse('Env', 'an environment variable needs a name: NAME=value');
  const rlimits = buildRlimits(resources?.ulimits ?? [], host, findings);
  return {
    terminal: tty,
    ...(tty && consoleSize !== undefined && consoleSize.height > 0 && consoleSize.width > 0 && { consoleSize: { ...consoleSize } }),
    // The primary group is among them, so that no program can leave it by setting another one and so pass a rule against it (CVE-2022-36109).
    user: { uid: user.uid, gid: user.gid, additionalGids: [...new Set([user.gid, ...user.additionalGids])] },
    args: [...args],
    env: buildEnvironment(env, { home: user.home, hostname, tty }),
    cwd: cwd === '' ? '/' : cwd,
    capabilities: processCapabilities(boundingSet({ capAdd, capDrop, privileged }, host.capabilities, findings), user.uid),
    ...(rlimits.length > 0 && { rlimits }),
    noNewPrivileges,
    oomScoreAdj: buildOomScoreAdj(resources?.oomScoreAdj ?? 0, host, findings),
  };
}
