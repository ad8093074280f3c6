// Settings of isolation: runtime, capabilities, privileges, seccomp, devices, sysctls.
import type { Device } from '@pouch/domain';
import { posix } from 'node:path';
import { badField } from '../../errors.ts';
import { host, words, type Setting } from './table.ts';
import type { Draft } from './draft.ts';

export const securitySettings: readonly Setting[] = [
  host('Runtime', (draft, value, { field, surroundings }) => {
    if (value === '') return;
    const { runtimes } = surroundings;
    // Before any host has joined nobody knows: the scheduler then says that there is no host.
    if (runtimes.length > 0 && !runtimes.includes(value)) throw badField(field, `unknown or invalid runtime name: ${value.slice(0, 80)}; known are ${runtimes.join(', ')}`);
    draft.runtime = value;
  }, (spec) => spec.runtime),
  host('CapAdd', (draft, value, { field }) => { draft.capAdd = words(value).map((name) => capability(name, field)); }, (spec) => orNull(spec.capAdd)),
  host('CapDrop', (draft, value, { field }) => { draft.capDrop = words(value).map((name) => capability(name, field)); }, (spec) => orNull(spec.capDrop)),
  host('GroupAdd', (draft, value, { field }) => {
    const wrong = value.find((group) => !/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,254}$/.test(group));
    if (wrong !== undefined) throw badField(field, `${JSON.stringify(wrong.slice(0, 80))} is not a group`);
    draft.groupAdd = value;
  }, (spec) => orNull(spec.groupAdd)),
  host('Privileged', (draft, value) => { draft.privileged = value; }, (spec) => spec.privileged),
  host('ReadonlyRootfs', (draft, value) => { draft.readonlyRootfs = value; }, (spec) => spec.readonlyRootfs),
  host('SecurityOpt', (draft, value, { field }) => { for (const [index, option] of value.entries()) securityOption(draft, option, `${field}[${index}]`); }, (spec) => {
    const shown = [
      ...(spec.noNewPrivileges ? ['no-new-privileges'] : []),
      ...(spec.seccomp.profile === 'unconfined' ? ['seccomp=unconfined'] : spec.seccomp.profile === 'custom' ? [`seccomp=${spec.seccomp.json}`] : []),
    ];
    return orNull(shown);
  }),
  host('Devices', (draft, value, { field }) => { draft.devices = value.map((given, index) => device(given, `${field}[${index}]`)); },
    (spec) => spec.devices.map(({ pathOnHost, pathInContainer, permissions }) => ({ PathOnHost: pathOnHost, PathInContainer: pathInContainer, CgroupPermissions: permissions }))),
  host('Sysctls', (draft, value, { field }) => {
    const wrong = Object.keys(value).find((name) => !/^[a-zA-Z0-9_]+(?:[./][a-zA-Z0-9_-]+)+$/.test(name));
    if (wrong !== undefined) throw badField(field, `${JSON.stringify(wrong.slice(0, 80))} is not a sysctl`);
    draft.sysctls = value;
  }, (spec) => spec.sysctls),
  host('Init', (draft, value) => { draft.init = value; }, (spec) => spec.init || null),
];

const orNull = (list: readonly string[]) => (list.length === 0 ? null : list);

/** Capabilities of Linux, as the kernel's headers number them. */
const capabilities = new Set((
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER '
  + 'SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL '
  + 'SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE').split(' '));

/** `net_admin`, `CAP_NET_ADMIN` → `CAP_NET_ADMIN`; `ALL` stays. */
function capability(text: string, field: string): string {
  const name = text.toUpperCase().replace(/^CAP_/, '');
  if (name === 'ALL') return name;
  if (!capabilities.has(name)) throw badField(field, `unknown capability: ${JSON.stringify(text.slice(0, 80))}`);
  return `CAP_${name}`;
}

function securityOption(draft: Draft, option: string, field: string): void {
  const [name = '', value] = splitOption(option);
  switch (name) {
    case 'no-new-privileges':
      if (value !== undefined && value !== 'true' && value !== 'false') throw badField(field, `invalid --security-opt: ${JSON.stringify(option.slice(0, 80))}`);
      draft.noNewPrivileges = value !== 'false';
      return;
    case 'seccomp':
      draft.seccomp = seccomp(value ?? '', field);
      return;
    // No AppArmor profile and no SELinux label is applied, so asking for none is granted.
    case 'apparmor':
      if (value === 'unconfined') return;
      break;
    case 'label':
      if (value === 'disable') return;
      break;
  }
  throw badField(field, `${JSON.stringify(option.slice(0, 80))} does not take effect yet; seccomp and no-new-privileges do`);
}

/** `name=value`, or `name:value` as older clients write it. */
function splitOption(option: string): [string, string | undefined] {
  const at = option.search(/[=:]/);
  return at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

function seccomp(value: string, field: string): Draft['seccomp'] {
  if (value === 'unconfined') return { profile: 'unconfined' };
  if (value === 'builtin' || value === 'default') return { profile: 'default' };
  try {
    const profile: unknown = JSON.parse(value);
    if (typeof profile === 'object' && profile !== null && 'defaultAction' in profile && typeof profile.defaultAction === 'string') return { profile: 'custom', json: value };
  } catch (error) {
    throw Object.assign(badField(field, 'the seccomp profile must be unconfined, builtin or a profile as JSON'), { cause: error });
  }
  throw badField(field, 'the seccomp profile has no defaultAction');
}

function device({ PathOnHost, PathInContainer = '', CgroupPermissions = '' }: { PathOnHost: string; PathInContainer?: string; CgroupPermissions?: string }, field: string): Device {
  const permissions = CgroupPermissions || 'rwm';
  if (!PathOnHost.startsWith('/')) throw badField(`${field}.PathOnHost`, 'it must be an absolute path');
  const pathInContainer = PathInContainer || PathOnHost;
  if (!pathInContainer.startsWith('/')) throw badField(`${field}.PathInContainer`, 'it must be an absolute path');
  if (!/^(?!.*(.).*\1)[rwm]{1,3}$/.test(permissions)) throw badField(`${field}.CgroupPermissions`, `invalid device mode: ${permissions.slice(0, 40)}`);
  return { pathOnHost: posix.normalize(PathOnHost), pathInContainer: posix.normalize(pathInContainer), permissions };
}

