// What containers may ask of their hosts, and who may ask it: the cluster's rules, and the pure check of a container's settings against them.
import type { ContainerSpec, Mount } from '../container/spec.ts';
import { accept, type Decision } from '../decision.ts';
import { hasRole, roles, type Role } from './role.ts';

export const policyRules = ['privileged', 'host-binds', 'host-network', 'devices', 'capabilities', 'seccomp'] as const;
export type PolicyRule = (typeof policyRules)[number];

/** The lowest role that may; `nobody` forbids it. */
export type Who = Exclude<Role, 'read'> | 'nobody';
export const whoMay: readonly Who[] = ['operate', 'admin', 'nobody'];

export interface PolicyRules {
  readonly who: Readonly<Record<PolicyRule, Who>>;
  /** Directories of hosts below which binds are open to everybody who may create containers. Absolute, without a slash at the end. */
  readonly bindPrefixes: readonly string[];
  /** Capabilities beyond the default ones that everybody may add, as `CAP_NAME`. */
  readonly allowedCapabilities: readonly string[];
}

export interface Policy {
  readonly id: typeof policyId;
  readonly name: typeof policyId;
  readonly state: 'present';
  readonly rules: PolicyRules;
  readonly sinceMs: number;
}

/** There is one. */
export const policyId = 'cluster';

/** Where nothing has been decided, whoever may create a container may ask everything of its host, as with Docker. */
export const openRules: PolicyRules = {
  who: { privileged: 'operate', 'host-binds': 'operate', 'host-network': 'operate', devices: 'operate', capabilities: 'operate', seccomp: 'operate' },
  bindPrefixes: [], allowedCapabilities: [],
};

/** Whole: rules always stand together, so that nobody opens one by not knowing of it. */
export type PolicyEvent = { readonly type: 'PolicyChanged'; readonly rules: PolicyRules; readonly atMs: number };
export type PolicyCommand = { readonly type: 'ChangePolicy'; readonly change: PolicyChange };
/** Members that are left out stay as they are. */
export interface PolicyChange {
  readonly who?: Readonly<Partial<Record<PolicyRule, Who>>>;
  readonly bindPrefixes?: readonly string[];
  readonly allowedCapabilities?: readonly string[];
}

export function decidePolicy(state: Policy | null, { change }: PolicyCommand, nowMs: number): Decision<PolicyEvent> {
  const before = state?.rules ?? openRules;
  const rules: PolicyRules = { who: { ...before.who, ...change.who }, bindPrefixes: change.bindPrefixes ?? before.bindPrefixes, allowedCapabilities: change.allowedCapabilities ?? before.allowedCapabilities };
  return JSON.stringify(rules) === JSON.stringify(before) ? accept() : accept({ type: 'PolicyChanged', rules, atMs: nowMs });
}

export function evolvePolicy(state: Policy | null, event: PolicyEvent): Policy | null {
  return event.type === 'PolicyChanged' ? { id: policyId, name: policyId, state: 'present', rules: event.rules, sinceMs: event.atMs } : state;
}

/** A setting that a rule keeps from `role`. `message` is one sentence that names the rule. */
export interface Breach {
  readonly rule: PolicyRule;
  readonly message: string;
}

/** What every container has without asking; held against packages/oci by a test. */
export const ordinaryCapabilities: readonly string[] = [
  'CAP_AUDIT_WRITE', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_MKNOD', 'CAP_NET_BIND_SERVICE', 'CAP_NET_RAW', 'CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP',
  'CAP_SETUID', 'CAP_SYS_CHROOT',
];

type Asked = Pick<ContainerSpec, 'privileged' | 'network' | 'devices' | 'capAdd' | 'seccomp' | 'mounts'>;

/** The first rule that keeps `role` from a container with these settings; null: none does. `joined`: the settings of the container whose network it joins. */
export function policyBreach(rules: PolicyRules, role: Role, spec: Asked, joined: Pick<ContainerSpec, 'network'> | null = null): Breach | null {
  const breach = (rule: PolicyRule, what: string): Breach => ({ rule, message: `the cluster's policy: rule ${rule} forbids ${what} to the role ${role} (${told(rules.who[rule])})` });
  if (!may(rules, 'privileged', role) && spec.privileged) return breach('privileged', 'privileged containers and execs');
  if (!may(rules, 'host-network', role) && (spec.network.mode === 'host' || joined?.network.mode === 'host')) return breach('host-network', "the host's network");
  const [device] = spec.devices;
  if (!may(rules, 'devices', role) && device !== undefined) return breach('devices', `devices of the host such as ${device.pathOnHost}`);
  const capability = spec.capAdd.find((name) => !ordinaryCapabilities.includes(name) && !rules.allowedCapabilities.includes(name));
  if (!may(rules, 'capabilities', role) && capability !== undefined) return breach('capabilities', `the capability ${capability}${rules.allowedCapabilities.length === 0 ? '' : `; ${rules.allowedCapabilities.join(', ')} may be added`}`);
  if (!may(rules, 'seccomp', role) && spec.seccomp.profile !== 'default') return breach('seccomp', 'any other seccomp profile than the default');
  const outside = spec.mounts.find((mount) => mount.type === 'bind' && prefixOf(rules, mount.source) === null);
  if (!may(rules, 'host-binds', role) && outside?.type === 'bind') return breach('host-binds', `the bind of ${outside.source}${rules.bindPrefixes.length === 0 ? '' : `; below ${rules.bindPrefixes.join(', ')} binds are open`}`);
  return null;
}

/** The mounts with what the host has still to look at: a link below an open directory must not lead out of it. */
export function confinedMounts(rules: PolicyRules, role: Role, mounts: readonly Mount[]): readonly Mount[] {
  if (may(rules, 'host-binds', role)) return mounts;
  return mounts.map((mount) => {
    const within = mount.type === 'bind' ? prefixOf(rules, mount.source) : null;
    return within === null ? mount : { ...mount, within } as Mount;
  });
}

function may(rules: PolicyRules, rule: PolicyRule, role: Role): boolean {
  const who = rules.who[rule];
  return who !== 'nobody' && hasRole(role, who);
}

const told = (who: Who): string => (who === 'nobody' ? 'nobody may' : `${roles.slice(roles.indexOf(who)).join(' and ')} may`);

/** The open directory that a cleaned path is or lies below. */
function prefixOf({ bindPrefixes }: PolicyRules, path: string): string | null {
  return bindPrefixes.find((prefix) => path === prefix || path.startsWith(prefix === '/' ? '/' : `${prefix}/`)) ?? null;
}
