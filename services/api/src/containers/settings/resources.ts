// Settings of resources and of the container's life on its host: limits, restart policy, logs. Null in the spec is "not limited".
import type { RestartPolicy } from '@pouch/domain';
import { badField } from '../../errors.ts';
import { defaultLog, defaultShmSizeBytes } from './draft.ts';
import { byteSize } from './mounts.ts';
import { host, type Setting } from './table.ts';

const minMemoryBytes = 6 * 1024 * 1024;
const ulimitNames = new Set(['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss', 'rtprio', 'rttime', 'sigpending', 'stack']);

export const resourceSettings: readonly Setting[] = [
  host('Memory', (draft, value, { field }) => {
    if (value > 0 && value < minMemoryBytes) throw badField(field, 'Minimum memory limit allowed is 6MB');
    draft.resources = { ...draft.resources, memoryBytes: value || null };
  }, ({ resources }) => resources.memoryBytes ?? 0),
  host('MemoryReservation', (draft, value, { field }) => {
    if (value === 0) return;
    if (value < minMemoryBytes) throw badField(field, 'Minimum memory reservation allowed is 6MB');
    draft.resources = { ...draft.resources, memoryReservationBytes: value };
  }, ({ resources }) => resources.memoryReservationBytes ?? 0),
  host('MemorySwap', (draft, value) => { draft.resources = { ...draft.resources, memorySwapBytes: value || null }; }, ({ resources }) => resources.memorySwapBytes ?? 0),
  host('NanoCpus', (draft, value) => { draft.resources = { ...draft.resources, nanoCpus: value || null }; }, ({ resources }) => resources.nanoCpus ?? 0),
  host('CpuShares', (draft, value) => { draft.resources = { ...draft.resources, cpuShares: value === 0 ? null : Math.max(2, value) }; }, ({ resources }) => resources.cpuShares ?? 0),
  host('CpusetCpus', (draft, value, { field }) => {
    if (value !== '' && !isCpuset(value)) throw badField(field, `invalid value ${value.slice(0, 80)} for cpuset cpus`);
    draft.resources = { ...draft.resources, cpusetCpus: value };
  }, ({ resources }) => resources.cpusetCpus),
  host('PidsLimit', (draft, value) => { draft.resources = { ...draft.resources, pidsLimit: value > 0 ? value : null }; }, ({ resources }) => resources.pidsLimit),
  host('Ulimits', (draft, value, { field }) => {
    const ulimits = value.map(({ Name, Soft = 0, Hard = 0 }, index) => {
      const name = Name.toLowerCase();
      if (!ulimitNames.has(name)) throw badField(`${field}[${index}].Name`, `invalid ulimit type: ${Name.slice(0, 80)}`);
      if (Hard !== -1 && (Soft === -1 || Soft > Hard)) throw badField(`${field}[${index}].Soft`, `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
      return { name, soft: Soft, hard: Hard };
    });
    draft.resources = { ...draft.resources, ulimits };
  }, ({ resources }) => resources.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard }))),
  host('OomScoreAdj', (draft, value) => { draft.resources = { ...draft.resources, oomScoreAdj: value }; }, ({ resources }) => resources.oomScoreAdj),
  host('ShmSize', (draft, value) => { draft.resources = { ...draft.resources, shmSizeBytes: value || defaultShmSizeBytes }; }, ({ resources }) => resources.shmSizeBytes),
  host('RestartPolicy', (draft, value, { field }) => { draft.restartPolicy = restartPolicy(value, field); }, ({ restartPolicy: { name, maximumRetryCount } }) => ({ Name: name, MaximumRetryCount: maximumRetryCount })),
  host('AutoRemove', (draft, value) => { draft.autoRemove = value; }, (spec) => spec.autoRemove),
  host('LogConfig', (draft, value, { field }) => {
    const driver = value.Type || 'json-file';
    if (driver !== 'json-file' && driver !== 'local' && driver !== 'none') throw badField(`${field}.Type`, `logger: no log driver named '${driver.slice(0, 80)}' is registered; json-file, local and none are`);
    const log = { driver, ...defaultLog } as { driver: typeof driver; maxSizeBytes: number; maxFiles: number };
    for (const [option, text] of Object.entries(value.Config ?? {})) {
      const at = `${field}.Config.${option}`;
      if (driver === 'none') throw badField(at, 'the driver none takes no options');
      if (option === 'max-size') log.maxSizeBytes = byteSize(text, at);
      else if (option === 'max-file' && /^[1-9]\d{0,3}$/.test(text)) log.maxFiles = Number(text);
      else if (option === 'max-file') throw badField(at, `${JSON.stringify(text.slice(0, 40))} is not a whole number from 1 to 9999`);
      else throw badField(at, 'this option does not take effect yet; max-size and max-file do');
    }
    draft.log = log;
  }, ({ log }) => ({
    Type: log.driver,
    Config: log.driver === 'none' ? {} : {
      ...(log.maxSizeBytes === defaultLog.maxSizeBytes ? {} : { 'max-size': String(log.maxSizeBytes) }),
      ...(log.maxFiles === defaultLog.maxFiles ? {} : { 'max-file': String(log.maxFiles) }),
    },
  })),
  host('Annotations', (draft, value) => { draft.annotations = value; }, (spec) => spec.annotations),
];

function isCpuset(text: string): boolean {
  return text.split(',').every((part) => {
    const [first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part)?.slice(1, 3).filter((one) => one !== undefined).map(Number) ?? [];
    return first !== undefined && last !== undefined && first <= last;
  });
}

function restartPolicy({ Name = '', MaximumRetryCount: maximumRetryCount = 0 }: { Name?: string; MaximumRetryCount?: number }, field: string): RestartPolicy {
  const name = Name === '' ? 'no' : Name;
  if (name !== 'no' && name !== 'always' && name !== 'unless-stopped' && name !== 'on-failure') {
    throw badField(`${field}.Name`, `invalid restart policy: unknown policy '${name.slice(0, 80)}'; use one of no, always, on-failure, unless-stopped`);
  }
  if (name !== 'on-failure' && maximumRetryCount !== 0) throw badField(`${field}.MaximumRetryCount`, `invalid restart policy: maximum retry count can only be used with 'on-failure'`);
  return { name, maximumRetryCount };
}
