// Docker's shapes of containers, as requests: what a create body may hold and which query members each call takes. Schemas and
// their types only; what a setting means, and which of Docker's settings have no effect yet, is told in the api's `settings.ts`.
// A member that is null counts as not given, as in Docker: the api takes nulls out before it looks.
import { Type, type Static } from 'typebox';

const Text = Type.String({ maxLength: 65_536 });
const Texts = Type.Array(Text, { maxItems: 10_000 });
const TextMap = Type.Record(Type.String(), Text);
const Flag = Type.Boolean();
const Whole = (bounds: { minimum?: number; maximum?: number } = {}) => Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER, ...bounds });
/** Docker's command lines: one word or a list of words. */
const Words = Type.Union([Text, Texts]);
const Opt = Type.Optional;

export const DockerError = Type.Object({ message: Type.String() });
export type DockerError = Static<typeof DockerError>;

export const DockerPortBinding = Type.Object({ HostIp: Opt(Text), HostPort: Opt(Text) });

export const DockerMount = Type.Object({
  Type: Type.String({ description: 'bind, tmpfs or volume' }),
  Source: Opt(Text),
  Target: Text,
  ReadOnly: Opt(Flag),
  Consistency: Opt(Text),
  BindOptions: Opt(Type.Object({ Propagation: Opt(Text), NonRecursive: Opt(Flag), CreateMountpoint: Opt(Flag) })),
  VolumeOptions: Opt(Type.Object({ NoCopy: Opt(Flag), Labels: Opt(TextMap), DriverConfig: Opt(Type.Object({ Name: Opt(Text), Options: Opt(TextMap) })) })),
  TmpfsOptions: Opt(Type.Object({ SizeBytes: Opt(Whole({ minimum: 0 })), Mode: Opt(Whole({ minimum: 0, maximum: 0o7777 })) })),
});

/** Nanoseconds, as long as a timer can run. 0: the default. */
const Duration = Whole({ minimum: 0, maximum: 2_147_483_647 * 1_000_000 });

/** `HealthConfig` of API 1.43. */
export const DockerHealthcheck = Type.Object({ Test: Opt(Texts), Interval: Opt(Duration), Timeout: Opt(Duration), StartPeriod: Opt(Duration), Retries: Opt(Whole({ minimum: 0, maximum: 2_147_483_647 })) });
export type DockerHealthcheck = Static<typeof DockerHealthcheck>;

export const DockerHostConfig = Type.Object({
  Runtime: Opt(Text),
  NetworkMode: Opt(Text),
  PortBindings: Opt(Type.Record(Type.String(), Type.Array(DockerPortBinding, { maxItems: 1_000 }))),
  PublishAllPorts: Opt(Flag),
  Binds: Opt(Texts),
  Mounts: Opt(Type.Array(DockerMount, { maxItems: 1_000 })),
  Tmpfs: Opt(TextMap),
  VolumesFrom: Opt(Type.Array(Text, { maxItems: 64 })),
  Memory: Opt(Whole({ minimum: 0 })),
  MemoryReservation: Opt(Whole({ minimum: 0 })),
  MemorySwap: Opt(Whole({ minimum: -1 })),
  NanoCpus: Opt(Whole({ minimum: 0 })),
  CpuShares: Opt(Whole({ minimum: 0, maximum: 262_144 })),
  CpusetCpus: Opt(Text),
  PidsLimit: Opt(Whole({ minimum: -1, maximum: 4_194_304 })),
  Ulimits: Opt(Type.Array(Type.Object({ Name: Text, Soft: Opt(Whole({ minimum: -1 })), Hard: Opt(Whole({ minimum: -1 })) }), { maxItems: 64 })),
  CapAdd: Opt(Words),
  CapDrop: Opt(Words),
  GroupAdd: Opt(Texts),
  Privileged: Opt(Flag),
  ReadonlyRootfs: Opt(Flag),
  SecurityOpt: Opt(Type.Array(Type.String({ maxLength: 1_048_576 }), { maxItems: 64 })),
  Devices: Opt(Type.Array(Type.Object({ PathOnHost: Text, PathInContainer: Opt(Text), CgroupPermissions: Opt(Text) }), { maxItems: 1_000 })),
  Sysctls: Opt(TextMap),
  ShmSize: Opt(Whole({ minimum: 0 })),
  Init: Opt(Flag),
  OomScoreAdj: Opt(Whole({ minimum: -1_000, maximum: 1_000 })),
  RestartPolicy: Opt(Type.Object({ Name: Opt(Text), MaximumRetryCount: Opt(Whole({ minimum: 0, maximum: 2_147_483_647 })) })),
  AutoRemove: Opt(Flag),
  ExtraHosts: Opt(Texts),
  Dns: Opt(Texts),
  DnsSearch: Opt(Texts),
  DnsOptions: Opt(Texts),
  LogConfig: Opt(Type.Object({ Type: Opt(Text), Config: Opt(TextMap) })),
  Annotations: Opt(TextMap),
});
export type DockerHostConfig = Static<typeof DockerHostConfig>;

/** Body of `POST /containers/create`. */
export const DockerCreateBody = Type.Object({
  Image: Opt(Text),
  Cmd: Opt(Words),
  Entrypoint: Opt(Words),
  Env: Opt(Texts),
  WorkingDir: Opt(Text),
  User: Opt(Text),
  Hostname: Opt(Text),
  Domainname: Opt(Text),
  Labels: Opt(TextMap),
  Tty: Opt(Flag),
  OpenStdin: Opt(Flag),
  StdinOnce: Opt(Flag),
  AttachStdin: Opt(Flag),
  AttachStdout: Opt(Flag),
  AttachStderr: Opt(Flag),
  StopSignal: Opt(Text),
  StopTimeout: Opt(Whole({ minimum: -1, maximum: 2_147_483_647 })),
  ExposedPorts: Opt(Type.Record(Type.String(), Type.Object({}))),
  Volumes: Opt(Type.Record(Type.String(), Type.Object({}))),
  Healthcheck: Opt(DockerHealthcheck),
  HostConfig: Opt(DockerHostConfig),
  NetworkingConfig: Opt(Type.Object({ EndpointsConfig: Opt(Type.Record(Type.String(), Type.Object({}))) })),
});
export type DockerCreateBody = Static<typeof DockerCreateBody>;

export const DockerCreated = Type.Object({ Id: Type.String(), Warnings: Type.Array(Type.String()) });
export type DockerCreated = Static<typeof DockerCreated>;

/** Query members: booleans as Docker reads them (`1`, `true`, ...), whole numbers as decimal text. */
const BoolQuery = (description: string) => Opt(Type.Boolean({ description }));
const TextQuery = (description: string, maxLength = 65_536) => Opt(Type.String({ description, maxLength }));
const Filters = TextQuery('Filters as JSON: {"key":["value"]}');
const Seconds = Opt(Type.Integer({ minimum: -1, maximum: 2_147_483_647, description: 'Seconds between the stop signal and SIGKILL; -1 waits for ever' }));

/** `id`: 64 hex digits, an unambiguous beginning of them, or the name. */
export const DockerIdParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 512 }) });
export const DockerCreateQuery = Type.Object({ name: TextQuery('Name of the container; one is made up where it is absent'), platform: TextQuery('os[/arch[/variant]]') });
export const DockerListQuery = Type.Object({
  all: BoolQuery('Not only the running ones'),
  limit: Opt(Type.Integer({ minimum: -1, maximum: 2_147_483_647, description: 'The last so many created, whatever their state; 0 and -1: all' })),
  size: BoolQuery('With SizeRw and SizeRootFs, which the hosts are asked for'),
  filters: Filters,
});
export const DockerInspectQuery = Type.Object({ size: BoolQuery('With SizeRw and SizeRootFs') });
export const DockerStartQuery = Type.Object({ detachKeys: TextQuery('Kept by the client', 256) });
export const DockerStopQuery = Type.Object({ t: Seconds, signal: TextQuery('Signal instead of the stop signal', 32) });
export const DockerKillQuery = Type.Object({ signal: TextQuery('Name or number; SIGKILL', 32) });
export const DockerWaitQuery = Type.Object({ condition: TextQuery('not-running, next-exit or removed', 32) });
export const DockerRemoveQuery = Type.Object({ v: BoolQuery('With its anonymous volumes'), force: BoolQuery('Also when it runs'), link: BoolQuery('Not a container but a link') });
export const DockerRenameQuery = Type.Object({ name: Type.String({ maxLength: 512 }) });
export const DockerPruneQuery = Type.Object({ filters: Filters });
export const DockerLogsQuery = Type.Object({
  follow: BoolQuery('Go on as lines come'),
  stdout: BoolQuery('Lines of stdout'),
  stderr: BoolQuery('Lines of stderr'),
  since: TextQuery('Unix seconds with a fraction, or RFC 3339', 64),
  until: TextQuery('Unix seconds with a fraction, or RFC 3339', 64),
  timestamps: BoolQuery('Begin each line with its time'),
  tail: TextQuery('The last so many lines, or all', 32),
  details: BoolQuery('Has no effect: there are no details'),
});
export const DockerServiceLogsQuery = Type.Object({ ...DockerLogsQuery.properties, details: BoolQuery('Begin each line with the ids of its host, service and task, as com.docker.swarm.* labels') });
const ArchivePath = Type.String({ minLength: 1, maxLength: 4_095, description: 'A path in the container' });
export const DockerArchiveQuery = Type.Object({ path: ArchivePath });
export const DockerPutArchiveQuery = Type.Object({
  path: ArchivePath,
  noOverwriteDirNonDir: BoolQuery('A directory is not replaced by something else, nor the other way round'),
  copyUIDGID: BoolQuery("Everything is the container's user's, whatever the archive says"),
});
export const DockerAttachQuery = Type.Object({
  detachKeys: TextQuery('Acted on by the client', 256),
  logs: BoolQuery('What was written so far'),
  stream: BoolQuery('What is written from now on'),
  stdin: BoolQuery('Carry stdin'),
  stdout: BoolQuery('Carry stdout'),
  stderr: BoolQuery('Carry stderr'),
});
const Cells = Type.Integer({ minimum: 0, maximum: 65_535 });
export const DockerResizeQuery = Type.Object({ h: Cells, w: Cells });
export const DockerStatsQuery = Type.Object({ stream: BoolQuery('A line a second until the container is removed; true'), 'one-shot': BoolQuery('With stream=false: at once, without a reading before it') });
export const DockerTopQuery = Type.Object({ ps_args: TextQuery('Arguments of ps; -ef', 1_024) });
export const DockerTop = Type.Object({ Titles: Type.Array(Type.String()), Processes: Type.Array(Type.Array(Type.String())) });

/** Body of `POST /containers/{id}/exec`. */
export const DockerExecBody = Type.Object({
  AttachStdin: Opt(Flag),
  AttachStdout: Opt(Flag),
  AttachStderr: Opt(Flag),
  DetachKeys: Opt(Text),
  Tty: Opt(Flag),
  Env: Opt(Texts),
  Cmd: Opt(Words),
  Privileged: Opt(Flag),
  User: Opt(Text),
  WorkingDir: Opt(Text),
  ConsoleSize: Opt(Type.Array(Cells, { maxItems: 2 })),
});
export type DockerExecBody = Static<typeof DockerExecBody>;

/** Body of `POST /exec/{id}/start`. */
export const DockerExecStartBody = Type.Object({ Detach: Opt(Flag), Tty: Opt(Flag), ConsoleSize: Opt(Type.Array(Cells, { maxItems: 2 })) });
export type DockerExecStartBody = Static<typeof DockerExecStartBody>;

export const DockerId = Type.Object({ Id: Type.String() });
export const DockerWaited = Type.Object({ StatusCode: Type.Integer(), Error: Opt(Type.Object({ Message: Type.String() })) });
export const DockerPruned = Type.Object({ ContainersDeleted: Type.Array(Type.String()), SpaceReclaimed: Type.Integer() });
/** Members of answers that Docker documents at length; here they are open. */
export const DockerObject = Type.Object({}, { additionalProperties: true });
