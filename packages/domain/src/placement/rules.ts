// What a container says of where it may and would like to be: read from environment entries, as classic Swarm took them, and from labels.
import { parseExpression, type Expression, type Parsed } from './expression.ts';

export const strategies = ['spread', 'binpack', 'random'] as const;
/** `spread`: the host with the fewest containers; `binpack`: the fullest that can take it; `random`: any that can. */
export type Strategy = (typeof strategies)[number];

export interface PlacementRules {
  /** On the host: `node`, `node.*`, or a label of it. */
  readonly constraints: readonly Expression[];
  /** On what the host has: `container`, `image`, or a label of containers. */
  readonly affinities: readonly Expression[];
  /** Null: the cluster's. */
  readonly strategy: Strategy | null;
  /** Labels of hosts over whose values containers of one group are spread, the first before the second. */
  readonly spreadOver: readonly string[];
  /** Containers that are counted together where they are spread; null: those of the same image. */
  readonly group: string | null;
  /** Beside `HostConfig.MemoryReservation`; 0: none. */
  readonly reserve: { readonly cpuNanos: number; readonly memoryBytes: number; readonly pids: number };
  /** How virtual machines must be run; null: as the host can. */
  readonly acceleration: 'kvm' | 'tcg' | null;
  /** A successor takes its place when its host is lost or drained. */
  readonly rescheduleOnHostLoss: boolean;
}

export const noRules: PlacementRules = {
  constraints: [], affinities: [], strategy: null, spreadOver: [], group: null, reserve: { cpuNanos: 0, memoryBytes: 0, pids: 0 }, acceleration: null, rescheduleOnHostLoss: false,
};

/** Expressions that one container may have. */
const maxExpressions = 32;
const maxSpreadLabels = 4;

type Draft = { -readonly [K in keyof PlacementRules]: PlacementRules[K] };
/** Takes a value in; answers what is wrong with it, or null. */
type Take = (rules: Draft, value: string) => string | null;

/** Entries of the environment that are meant for the scheduler and not for the container, by what stands before the colon. */
const entries: Readonly<Record<string, Take>> = {
  constraint: takeExpression('constraints'),
  affinity: takeExpression('affinities'),
  // As classic Swarm's; its word for a host was node.
  reschedule: (rules, value) => takeReschedule(rules, value === 'on-node-failure' ? 'on-host-loss' : value === 'off' ? 'never' : value),
};

const labels: Readonly<Record<string, Take>> = {
  'io.pouch.constraint': takeExpression('constraints'),
  'io.pouch.affinity': takeExpression('affinities'),
  'io.pouch.strategy': (rules, value) => {
    const strategy = strategies.find((one) => one === value);
    if (strategy === undefined) return `there is no strategy ${JSON.stringify(value.slice(0, 40))}; there are ${strategies.join(', ')}`;
    rules.strategy = strategy;
    return null;
  },
  'io.pouch.spread': (rules, value) => {
    const names = value.split(',').map((name) => name.trim()).filter((name) => name !== '');
    if (names.length === 0 || names.length > maxSpreadLabels) return `it must name 1 to ${maxSpreadLabels} labels of hosts with commas, e.g. zone,rack`;
    rules.spreadOver = names;
    return null;
  },
  'io.pouch.group': (rules, value) => {
    rules.group = value === '' ? null : value;
    return null;
  },
  'io.pouch.reschedule': takeReschedule,
  'io.pouch.acceleration': (rules, value) => {
    if (value !== 'kvm' && value !== 'tcg') return `it must be kvm or tcg, not ${JSON.stringify(value.slice(0, 40))}`;
    rules.acceleration = value;
    return null;
  },
  'io.pouch.reserve.cpus': (rules, value) => {
    const cpus = /^\d{1,6}(?:\.\d{1,9})?$/.test(value) ? Number(value) : Number.NaN;
    if (!(cpus > 0)) return `it must be a number of CPUs such as 0.5, not ${JSON.stringify(value.slice(0, 40))}`;
    rules.reserve = { ...rules.reserve, cpuNanos: Math.round(cpus * 1e9) };
    return null;
  },
  'io.pouch.reserve.memory': (rules, value) => {
    const memoryBytes = bytesOf(value);
    if (memoryBytes === null) return `it must be a size such as 256m or 2g, not ${JSON.stringify(value.slice(0, 40))}`;
    rules.reserve = { ...rules.reserve, memoryBytes };
    return null;
  },
  'io.pouch.reserve.pids': (rules, value) => {
    if (!/^[1-9]\d{0,8}$/.test(value)) return `it must be a number of processes, not ${JSON.stringify(value.slice(0, 40))}`;
    rules.reserve = { ...rules.reserve, pids: Number(value) };
    return null;
  },
};

/** What is read: the rules, and the environment without the entries that were rules. A problem begins with where it is, `Env[2]` or `Labels.io.pouch.spread`. */
export interface ReadRules {
  readonly rules: PlacementRules;
  readonly env: readonly string[];
}

/** Reads both; `env` as it was given, before the image's is merged in. */
export function readPlacementRules(env: readonly string[], given: Readonly<Record<string, string>>): Parsed<ReadRules> {
  const rules: Draft = { ...noRules };
  const rest: string[] = [];
  for (const [index, entry] of env.entries()) {
    const colon = entry.indexOf(':');
    const name = colon === -1 ? '' : entry.slice(0, colon);
    const take = Object.hasOwn(entries, name) ? entries[name] : undefined;
    if (take === undefined) rest.push(entry);
    else {
      const problem = take(rules, entry.slice(colon + 1));
      if (problem !== null) return { ok: false, problem: `Env[${index}]: ${name}: ${problem}` };
    }
  }
  // In order of their names, so that the same labels are the same rules.
  for (const name of Object.keys(given).sort()) {
    const take = labelRule(name);
    const problem = take?.(rules, given[name] ?? '') ?? null;
    if (problem !== null) return { ok: false, problem: `Labels.${name}: ${problem}` };
  }
  return { ok: true, value: { rules, env: rest } };
}

/** Several expressions have several labels: `io.pouch.constraint`, `io.pouch.constraint.rack`, … */
function labelRule(name: string): Take | undefined {
  if (!name.startsWith('io.pouch.')) return undefined;
  if (Object.hasOwn(labels, name)) return labels[name];
  return ['io.pouch.constraint', 'io.pouch.affinity'].flatMap((prefix) => (name.startsWith(`${prefix}.`) ? [labels[prefix]] : []))[0];
}

function takeExpression(member: 'constraints' | 'affinities'): Take {
  return (rules, value) => {
    const parsed = parseExpression(value);
    if (!parsed.ok) return parsed.problem;
    if (rules[member].length >= maxExpressions) return `a container has at most ${maxExpressions} ${member}`;
    rules[member] = [...rules[member], parsed.value];
    return null;
  };
}

function takeReschedule(rules: Draft, value: string): string | null {
  if (value !== 'on-host-loss' && value !== 'never') return `it must be on-host-loss or never, not ${JSON.stringify(value.slice(0, 40))}`;
  rules.rescheduleOnHostLoss = value === 'on-host-loss';
  return null;
}

/** `512`, `256m`, `1.5g`, as Docker writes sizes: units of 1024. Null: none. */
function bytesOf(text: string): number | null {
  const [, number, unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  if (number === undefined) return null;
  const bytes = Math.round(Number(number) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()));
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : null;
}
