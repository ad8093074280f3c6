// From the flags of create and run to the body of POST /containers/create. Pure but for the files that flags name. Says only what was
// asked for, so that the API's defaults stay the API's. Source: Docker Engine API 1.43, ContainerCreate.
import { UsageError } from '../errors.ts';
import { lines, toEnv, toSecurityOpts, type Variables } from './files.ts';
import { toMount, toTmpfs, toVolumes } from './mounts.ts';
import { toPorts } from './ports.ts';
import { healthcheck, type HealthFlags } from './health.ts';
import { said, type Json } from './said.ts';
import { toBytes, toBytesOrUnlimited, toDevice, toExtraHost, toInteger, toNanoCpus, toRecord, toRestartPolicy, toUlimit } from './values.ts';

/** Flags as commander hands them over: lists may be absent, a flag that was not given is undefined. */
export interface SettingFlags extends HealthFlags {
  readonly name?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly label?: readonly string[];
  readonly labelFile?: readonly string[];
  readonly secret?: readonly string[];
  readonly publish?: readonly string[];
  readonly publishAll?: boolean;
  readonly expose?: readonly string[];
  readonly volume?: readonly string[];
  readonly mount?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly volumesFrom?: readonly string[];
  readonly memory?: string;
  readonly memoryReservation?: string;
  readonly memorySwap?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpusetCpus?: string;
  readonly pidsLimit?: string;
  readonly ulimit?: readonly string[];
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly readOnly?: boolean;
  readonly securityOpt?: readonly string[];
  readonly device?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly shmSize?: string;
  readonly init?: boolean;
  readonly oomScoreAdj?: string;
  readonly restart?: string;
  readonly addHost?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsOption?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly logDriver?: string;
  readonly logOpt?: readonly string[];
  readonly annotation?: readonly string[];
  readonly runtime?: string;
  readonly kernel?: string;
  readonly network?: string;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly user?: string;
  readonly groupAdd?: readonly string[];
  readonly workdir?: string;
  readonly entrypoint?: string;
  readonly stopSignal?: string;
  readonly stopTimeout?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly rm?: boolean;
  readonly attach?: readonly string[];
}

export interface Surroundings {
  readonly variables: Variables;
  readonly cwd: string;
}

export interface Attachment {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Which streams the client takes: those that `-a` names, else output, and stdin with `-i`; none when detached. */
export function toAttachment(flags: SettingFlags, detach: boolean): Attachment {
  const named = (flags.attach ?? []).map((stream) => stream.toLowerCase());
  const unknown = named.find((stream) => !['stdin', 'stdout', 'stderr'].includes(stream));
  if (unknown !== undefined) throw new UsageError(`-a ${unknown}: expected stdin, stdout or stderr`);
  if (detach) {
    if (named.length > 0) throw new UsageError('-a and -d exclude each other');
    return { stdin: false, stdout: false, stderr: false };
  }
  if (named.length > 0) return { stdin: named.includes('stdin'), stdout: named.includes('stdout'), stderr: named.includes('stderr') };
  return { stdin: flags.interactive === true, stdout: true, stderr: true };
}

/** Members that are undefined, empty lists and empty records are not sent. */
export function toCreateBody(image: string, command: readonly string[], flags: SettingFlags, attachment: Attachment, around: Surroundings): Json {
  const ports = toPorts(flags.publish ?? [], flags.expose ?? []);
  const volumes = toVolumes(flags.volume ?? [], around.cwd);
  if (flags.rm === true && flags.restart !== undefined && flags.restart !== 'no') throw new UsageError('--rm and --restart exclude each other');
  const openStdin = flags.interactive === true;
  const secrets = secretLabels(flags.secret ?? []);
  const labels = [...secrets, ...(flags.labelFile ?? []).flatMap((path) => lines('--label-file', path)), ...(flags.label ?? [])];
  return said({
    Image: image,
    Cmd: command,
    // An empty --entrypoint takes the image's away; Docker's clients say so with one empty word.
    Entrypoint: flags.entrypoint === undefined ? undefined : [flags.entrypoint],
    Env: toEnv(flags.env ?? [], flags.envFile ?? [], around.variables),
    Labels: toRecord('--label', labels),
    Hostname: flags.hostname,
    Domainname: flags.domainname,
    User: flags.user,
    WorkingDir: flags.workdir,
    StopSignal: flags.stopSignal,
    StopTimeout: flags.stopTimeout === undefined ? undefined : toInteger('--stop-timeout', flags.stopTimeout, { min: -1 }),
    ExposedPorts: ports.exposed,
    Healthcheck: healthcheck(flags),
    Volumes: volumes.anonymous,
    Tty: flags.tty === true ? true : undefined,
    OpenStdin: openStdin ? true : undefined,
    StdinOnce: openStdin && attachment.stdin ? true : undefined,
    AttachStdin: attachment.stdin,
    AttachStdout: attachment.stdout,
    AttachStderr: attachment.stderr,
    HostConfig: hostConfig(flags, ports.bindings, volumes.binds, around),
  });
}

/** `name,target=x` → the label that asks for it. One secret is one label, so it can be one file only. */
function secretLabels(texts: readonly string[]): string[] {
  const names = texts.map((text) => text.split(',', 1)[0] ?? '');
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`--secret ${twice}: it is given twice`);
  return texts.map((text, index) => `io.pouch.secret.${names[index]}=${text.slice((names[index] ?? '').length + 1)}`);
}

function hostConfig(flags: SettingFlags, bindings: unknown, binds: readonly string[], around: Surroundings): Json {
  return said({
    // A guest kernel is nothing without a machine.
    Runtime: flags.runtime ?? (flags.kernel === undefined ? undefined : 'runv'),
    NetworkMode: flags.network,
    PortBindings: bindings,
    PublishAllPorts: flags.publishAll,
    Binds: binds,
    Mounts: (flags.mount ?? []).map((text) => toMount(text, around.cwd)),
    Tmpfs: toTmpfs(flags.tmpfs ?? []),
    VolumesFrom: flags.volumesFrom,
    Memory: flags.memory === undefined ? undefined : toBytes('--memory', flags.memory),
    MemoryReservation: flags.memoryReservation === undefined ? undefined : toBytes('--memory-reservation', flags.memoryReservation),
    MemorySwap: flags.memorySwap === undefined ? undefined : toBytesOrUnlimited('--memory-swap', flags.memorySwap),
    NanoCpus: flags.cpus === undefined ? undefined : toNanoCpus(flags.cpus),
    CpuShares: flags.cpuShares === undefined ? undefined : toInteger('--cpu-shares', flags.cpuShares, { min: 0 }),
    CpusetCpus: flags.cpusetCpus,
    PidsLimit: flags.pidsLimit === undefined ? undefined : toInteger('--pids-limit', flags.pidsLimit, { min: -1 }),
    Ulimits: (flags.ulimit ?? []).map(toUlimit),
    CapAdd: flags.capAdd,
    CapDrop: flags.capDrop,
    Privileged: flags.privileged,
    ReadonlyRootfs: flags.readOnly,
    SecurityOpt: toSecurityOpts(flags.securityOpt ?? []),
    Devices: (flags.device ?? []).map(toDevice),
    Sysctls: toRecord('--sysctl', flags.sysctl ?? [], true),
    ShmSize: flags.shmSize === undefined ? undefined : toBytes('--shm-size', flags.shmSize),
    Init: flags.init,
    OomScoreAdj: flags.oomScoreAdj === undefined ? undefined : toInteger('--oom-score-adj', flags.oomScoreAdj, { min: -1000, max: 1000 }),
    RestartPolicy: flags.restart === undefined ? undefined : toRestartPolicy(flags.restart),
    AutoRemove: flags.rm,
    GroupAdd: flags.groupAdd,
    ExtraHosts: (flags.addHost ?? []).map(toExtraHost),
    Dns: flags.dns,
    DnsOptions: flags.dnsOption,
    DnsSearch: flags.dnsSearch,
    LogConfig: flags.logDriver === undefined && flags.logOpt === undefined ? undefined : { Type: flags.logDriver ?? '', Config: toRecord('--log-opt', flags.logOpt ?? [], true) },
    Annotations: { ...toRecord('--annotation', flags.annotation ?? [], true), ...(flags.kernel === undefined ? {} : { 'io.pouch.kernel': flags.kernel }) },
  });
}
