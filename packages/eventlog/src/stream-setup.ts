// The stream behind the log: made where it is missing, held against what is wanted where it is there. Changes only what may change without loss.
import { randomUUID } from 'node:crypto';
import type { NatsLink } from './connection.ts';
import { LogSetupError, LogUnavailable } from './errors.ts';
import { createStream, jsError, JetStreamError, milliseconds, streamInfo, toNanoseconds, updateStream, type StreamConfig, type StreamInfo } from './jetstream-api.ts';
import type { LogIdentity } from './event-log.ts';

/** What is wanted of a stream. */
export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  /** `keep`: the stream is another process's to make; what is there is used as it is. */
  readonly replicas: number | 'keep';
  readonly storage: 'file' | 'memory';
  /** Newest messages kept of each subject. */
  readonly maxMessagesPerSubject: number;
  /** How long an id is remembered; must be longer than any retry with it. */
  readonly duplicateWindowMs: number;
  /** Messages older than this go; 0: none do. */
  readonly maxAgeMs: number;
}

/** 2.10.20–22 could lose streams on a crash; earlier ones lack what is used here. */
const oldestServer = [2, 10, 23] as const;
const identityKey = 'pouch-stream-id';
const restoredKey = 'pouch-restored-at';

/** Metadata of a stream that is put back from a backup: from now on it is another one than the one that was saved, for what came after is lost. */
export const restoredMetadata = (nowMs: number): Readonly<Record<string, string>> => ({ [identityKey]: randomUUID(), [restoredKey]: String(nowMs) });

/** Throws LogSetupError if the server is too old. `version` as in the server's INFO. */
export function checkServerVersion(version: string | undefined): void {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version ?? '')?.slice(1).map(Number);
  if (parts === undefined) throw new LogSetupError(`nats-server has the unreadable version ${JSON.stringify(version)}; ${oldestServer.join('.')} or later is needed`);
  for (const [at, needed] of oldestServer.entries()) {
    const has = parts[at] ?? 0;
    if (has > needed) return;
    if (has < needed) throw new LogSetupError(`nats-server ${version} is too old; ${oldestServer.join('.')} or later is needed`);
  }
}

function wantedConfig(settings: StreamSettings, replicas: number, metadata: Readonly<Record<string, string>>): StreamConfig {
  return {
    name: settings.name,
    subjects: settings.subjects,
    retention: 'limits',
    storage: settings.storage,
    num_replicas: replicas,
    max_msgs_per_subject: settings.maxMessagesPerSubject,
    max_msgs: -1,
    max_bytes: -1,
    max_age: toNanoseconds(settings.maxAgeMs),
    discard: 'old',
    duplicate_window: toNanoseconds(settings.maxAgeMs === 0 ? settings.duplicateWindowMs : Math.min(settings.duplicateWindowMs, settings.maxAgeMs)),
    allow_direct: true,
    allow_rollup_hdrs: false,
    deny_delete: true,
    deny_purge: false,
    metadata,
  };
}

/** What of an existing stream may be brought in line with what is wanted. */
const changeable = ['num_replicas', 'max_msgs_per_subject', 'max_msgs', 'max_bytes', 'max_age', 'duplicate_window', 'discard', 'allow_direct'] as const satisfies readonly (keyof StreamConfig)[];

/** Makes the stream or checks the one that is there. Rejects with LogSetupError where it cannot be used, LogUnavailable where nobody answers. */
export async function ensureStream(link: NatsLink, settings: StreamSettings, timeoutMs: number): Promise<StreamInfo> {
  checkServerVersion((await link.connection()).info?.version);
  try {
    const { replicas } = settings;
    const present = await streamInfo(link, settings.name, timeoutMs);
    if (replicas === 'keep') {
      if (present === null) throw new LogUnavailable(`the stream ${settings.name} is not there yet: an api or a scheduler makes it`);
      return present;
    }
    if (present !== null) return await adapt(link, settings, replicas, present, timeoutMs);
    try {
      return await createStream(link, wantedConfig(settings, replicas, { [identityKey]: randomUUID() }), timeoutMs);
    } catch (error) {
      // Another process was faster, with another identity: theirs it is.
      if (!(error instanceof JetStreamError) || error.errorCode !== jsError.streamNameInUse) throw error;
      const theirs = await streamInfo(link, settings.name, timeoutMs);
      if (theirs === null) throw error;
      return await adapt(link, settings, replicas, theirs, timeoutMs);
    }
  } catch (error) {
    throw error instanceof JetStreamError ? new LogSetupError(explain(error, settings), error) : error;
  }
}

async function adapt(link: NatsLink, settings: StreamSettings, replicas: number, present: StreamInfo, timeoutMs: number): Promise<StreamInfo> {
  const wrong: string[] = [];
  const { config } = present;
  if (config.storage !== settings.storage) wrong.push(`its storage is ${config.storage}, wanted is ${settings.storage}`);
  if (config.retention !== 'limits') wrong.push(`its retention is ${config.retention}, wanted is limits`);
  if ([...config.subjects].sort().join(' ') !== [...settings.subjects].sort().join(' ')) wrong.push(`its subjects are ${config.subjects.join(', ')}, wanted are ${settings.subjects.join(', ')}`);
  if (config.deny_purge) wrong.push('it denies purges');
  if (wrong.length > 0) throw new LogSetupError(`the stream ${settings.name} that is there cannot be used: ${wrong.join('; ')}. Remove it or name another one`);
  const metadata = { ...config.metadata, [identityKey]: config.metadata?.[identityKey] ?? randomUUID() };
  const wanted = wantedConfig(settings, replicas, metadata);
  const differs = changeable.some((member) => config[member] !== wanted[member]) || config.metadata?.[identityKey] === undefined;
  if (!differs) return present;
  return await updateStream(link, { ...config, ...Object.fromEntries(changeable.map((member) => [member, wanted[member]])), metadata }, timeoutMs);
}

function explain(error: JetStreamError, { name, subjects, replicas }: StreamSettings): string {
  if (error.errorCode === jsError.subjectsOverlap) return `another stream takes the subjects ${subjects.join(', ')} already (${error.message})`;
  return `the stream ${name} with ${replicas} replica(s) cannot be set up: ${error.message}`;
}

export function identityOf({ config, created, state, cluster }: StreamInfo): LogIdentity {
  const streamId = config.metadata?.[identityKey];
  if (streamId === undefined) throw new LogSetupError(`the stream ${config.name} has lost its identity from its metadata`);
  const restoredAtMs = Number(config.metadata?.[restoredKey]);
  const leader = cluster?.leader ?? null;
  const current = [...(leader === null ? [] : [leader]), ...(cluster?.replicas ?? []).filter((one) => one.current && one.offline !== true).map(({ name }) => name)];
  return {
    streamId, createdAtMs: milliseconds(created), firstSeq: state.first_seq, lastSeq: state.last_seq, messages: state.messages,
    ...(config.num_replicas > 1 ? { leader, current } : {}), ...(Number.isSafeInteger(restoredAtMs) ? { restoredAtMs } : {}),
  };
}
