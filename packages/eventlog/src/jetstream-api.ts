// JetStream's own request/reply API (`$JS.API.>`, NATS ADR-1 and ADR-31): one function per request that Pouch makes, types of what it reads of the answers.
// It holds no state and retries nothing.
import type { Msg } from 'nats';
import type { NatsLink } from './connection.ts';
import { LogUnavailable } from './errors.ts';

/** JetStream said no. `errorCode` is the number that is unique to each kind of error. */
export class JetStreamError extends Error {
  readonly errorCode: number;
  readonly status: number;

  constructor({ err_code, code, description }: ApiErrorBody, request: string) {
    super(`${request}: ${description ?? 'refused'} (${err_code ?? code})`);
    this.errorCode = err_code ?? 0;
    this.status = code;
  }
}

export interface ApiErrorBody {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** Error numbers of nats-server that are acted upon. */
export const jsError = {
  /** What a server says to any request while its JetStream is only starting, or once that has been given up: it hears them and knows none. Ours are well-formed. */
  badRequest: 10_003,
  noSuitablePeers: 10_005,
  clusterNoLeader: 10_008,
  insufficientResources: 10_023,
  messageNotFound: 10_037,
  messageTooLarge: 10_054,
  streamNameInUse: 10_058,
  streamNotFound: 10_059,
  subjectsOverlap: 10_065,
  wrongLastSequence: 10_071,
  /** In clusters, while a message with the same id is under way: an earlier try of it. */
  duplicateUnderWay: 10_158,
  /** In clusters, while another message of the subject is under way. */
  wrongLastSequenceConstant: 10_164,
} as const;

export const isConflict = ({ errorCode }: JetStreamError): boolean => errorCode === jsError.wrongLastSequence || errorCode === jsError.wrongLastSequenceConstant;

/** Stream configuration, as far as Pouch sets it. Times in nanoseconds. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: 'limits';
  readonly storage: 'file' | 'memory';
  readonly num_replicas: number;
  readonly max_msgs_per_subject: number;
  readonly max_msgs: number;
  readonly max_bytes: number;
  readonly max_age: number;
  readonly discard: 'old' | 'new';
  readonly duplicate_window: number;
  readonly allow_direct: boolean;
  readonly allow_rollup_hdrs: boolean;
  readonly deny_delete: boolean;
  readonly deny_purge: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface StreamInfo {
  readonly config: StreamConfig;
  /** RFC 3339. */
  readonly created: string;
  readonly state: { readonly messages: number; readonly first_seq: number; readonly last_seq: number };
  /** Where several servers keep it. */
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly name: string; readonly current: boolean; readonly offline?: boolean }[] };
}

export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  /** Base64. */
  readonly data?: string;
  /** Base64 of the NATS header block. */
  readonly hdrs?: string;
  /** RFC 3339 with up to nine decimals. */
  readonly time: string;
}

export interface ConsumerConfig {
  readonly name: string;
  readonly deliver_policy: 'all' | 'last_per_subject' | 'new' | 'by_start_sequence';
  readonly opt_start_seq?: number;
  readonly filter_subject: string;
  readonly ack_policy: 'none';
  readonly replay_policy: 'instant';
  readonly max_waiting: number;
  readonly inactive_threshold: number;
  readonly num_replicas: number;
  readonly mem_storage: boolean;
}

const passing: ReadonlySet<number> = new Set([jsError.badRequest, jsError.clusterNoLeader, jsError.noSuitablePeers, jsError.insufficientResources]);

/** What may be asked twice is asked again after so long without an answer: it may have gone to a server that hangs, or no longer leads, and another leads by now. */
const askAgainMs = 500;

/** The first answer to a question that is asked again and again; rejects as `NatsLink.request`. */
async function insistently(link: NatsLink, subject: string, payload: string, timeoutMs: number): Promise<Msg> {
  const answered = Promise.withResolvers<Msg>();
  const ask = (remainingMs: number): void => void link.request(subject, payload, { timeoutMs: remainingMs }).then(answered.resolve, answered.reject);
  let remainingMs = timeoutMs;
  const timer = setInterval(() => {
    remainingMs -= askAgainMs;
    if (remainingMs > 0) ask(remainingMs);
    else clearInterval(timer);
  }, askAgainMs);
  ask(remainingMs);
  return await answered.promise.finally(() => clearInterval(timer));
}

async function call<T>(link: NatsLink, request: string, body: object | null, timeoutMs: number, { mayRepeat = false }: { readonly mayRepeat?: boolean } = {}): Promise<T> {
  const [subject, payload] = [`$JS.API.${request}`, body === null ? '' : JSON.stringify(body)];
  const answer = mayRepeat ? await insistently(link, subject, payload, timeoutMs) : await link.request(subject, payload, { timeoutMs });
  const parsed = answer.json<T & { error?: ApiErrorBody }>();
  if (parsed.error === undefined) return parsed;
  const error = new JetStreamError(parsed.error, request);
  // These pass by themselves: a cluster finds its servers and elects a leader, a server finishes its start, or is started again.
  const awaited = error.errorCode === jsError.noSuitablePeers ? '; waiting until the server that leads has heard of as many others as are to have copies' : '';
  if (error.status === 503 || passing.has(error.errorCode)) throw new LogUnavailable(`${error.message}${awaited}`, { cause: error });
  throw error;
}

export const createStream = (link: NatsLink, config: StreamConfig, timeoutMs: number) => call<StreamInfo>(link, `STREAM.CREATE.${config.name}`, config, timeoutMs);
export const updateStream = (link: NatsLink, config: StreamConfig, timeoutMs: number) => call<StreamInfo>(link, `STREAM.UPDATE.${config.name}`, config, timeoutMs);

/** Null: there is no such stream. */
export async function streamInfo(link: NatsLink, name: string, timeoutMs: number): Promise<StreamInfo | null> {
  return await orNull(call<StreamInfo>(link, `STREAM.INFO.${name}`, null, timeoutMs, { mayRepeat: true }), jsError.streamNotFound);
}

/** By sequence, the newest of a subject, or the next of a subject from a sequence on; from the stream's leader, so never stale. Null: there is none. */
export async function storedMessage(link: NatsLink, stream: string, which: { readonly seq: number } | { readonly last_by_subj: string } | { readonly seq: number; readonly next_by_subj: string }, timeoutMs: number): Promise<StoredMessage | null> {
  const answer = await orNull(call<{ message: StoredMessage }>(link, `STREAM.MSG.GET.${stream}`, which, timeoutMs, { mayRepeat: true }), jsError.messageNotFound);
  return answer?.message ?? null;
}

/**
 * The newest of a subject by a request that has the subject in its own (ADR-31), for who may not ask for every subject. Any replica answers, so it can be
 * stale in a cluster; who appends after it is told so by a conflict. Null: there is none.
 */
export async function newestMessage(link: NatsLink, stream: string, subject: string, timeoutMs: number): Promise<StoredMessage | null> {
  const answer = await link.request(`$JS.API.DIRECT.GET.${stream}.${subject}`, '', { timeoutMs });
  const { headers } = answer;
  if (headers?.code === 404) return null;
  const [seq, time] = [Number(headers?.get('Nats-Sequence')), headers?.get('Nats-Time-Stamp') ?? ''];
  if (headers === undefined || headers.code !== 0 || !(seq > 0)) throw new LogUnavailable(`DIRECT.GET.${stream}.${subject}: ${headers?.code ?? ''} ${headers?.description ?? 'an answer without a sequence'}`);
  const block = headers.keys().map((name) => `${name}: ${headers.get(name)}\r\n`).join('');
  return { subject: headers.get('Nats-Subject'), seq, data: Buffer.from(answer.data).toString('base64'), hdrs: Buffer.from(`NATS/1.0\r\n${block}\r\n`, 'latin1').toString('base64'), time };
}

/** Subjects that a stream has messages of, at most a page of the server's (100,000). */
export async function subjectsOf(link: NatsLink, stream: string, filter: string, timeoutMs: number): Promise<string[]> {
  const info = await call<{ state: { subjects?: Record<string, number> } }>(link, `STREAM.INFO.${stream}`, { subjects_filter: filter }, timeoutMs);
  return Object.keys(info.state.subjects ?? {});
}

/** Removes messages of a subject: all but the newest `keep`, or those before `seq`. */
export async function purgeSubject(link: NatsLink, stream: string, request: { readonly filter: string; readonly keep?: number; readonly seq?: number }, timeoutMs: number): Promise<number> {
  return (await call<{ purged: number }>(link, `STREAM.PURGE.${stream}`, request, timeoutMs)).purged;
}

/** Nothing there is no error. */
export async function deleteStream(link: NatsLink, name: string, timeoutMs: number): Promise<void> {
  await orNull(call(link, `STREAM.DELETE.${name}`, null, timeoutMs), jsError.streamNotFound);
}

/** Lets the server send a stream to `deliverSubject`, chunk by chunk, each to be answered, until an empty one; every message is checked first. Answers with the stream as it is then. */
export async function beginSnapshot(link: NatsLink, name: string, deliverSubject: string, timeoutMs: number): Promise<StreamInfo> {
  return await call<StreamInfo>(link, `STREAM.SNAPSHOT.${name}`, { deliver_subject: deliverSubject, no_consumers: true, jsck: true }, timeoutMs);
}

/** Answers with the subject that the chunks are to be sent to. */
export async function beginRestore(link: NatsLink, config: StreamConfig, timeoutMs: number): Promise<string> {
  return (await call<{ deliver_subject: string }>(link, `STREAM.RESTORE.${config.name}`, { config }, timeoutMs)).deliver_subject;
}

export async function sendRestored(link: NatsLink, subject: string, chunk: Uint8Array, timeoutMs: number): Promise<void> {
  const answer = await link.request(subject, chunk, { timeoutMs });
  const error = answer.data.length === 0 ? undefined : answer.json<{ error?: ApiErrorBody }>().error;
  if (error !== undefined) throw new JetStreamError(error, `restore to ${subject}`);
}

/** No chunks come any more: the server makes the stream of what came. */
export async function endRestore(link: NatsLink, name: string, subject: string, timeoutMs: number): Promise<void> {
  const { error } = (await link.request(subject, '', { timeoutMs })).json<{ error?: ApiErrorBody }>();
  if (error !== undefined) throw new JetStreamError(error, `STREAM.RESTORE.${name}`);
}

/** Answers with how many messages wait for it, and, in a cluster, which server has it. */
export async function createConsumer(link: NatsLink, stream: string, config: ConsumerConfig, timeoutMs: number): Promise<{ num_pending: number; cluster?: { leader?: string } }> {
  return await call(link, `CONSUMER.CREATE.${stream}.${config.name}.${config.filter_subject}`, { stream_name: stream, config, action: 'create' }, timeoutMs, { mayRepeat: true });
}

export const deleteConsumerSubject = (stream: string, consumer: string): string => `$JS.API.CONSUMER.DELETE.${stream}.${consumer}`;
export const nextSubject = (stream: string, consumer: string): string => `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;

async function orNull<T>(answer: Promise<T>, errorCode: number): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof JetStreamError && error.errorCode === errorCode) return null;
    throw error;
  }
}

/** A header of a stored message; null where it is not there. */
export function headerOf(message: StoredMessage, name: string): string | null {
  if (message.hdrs === undefined) return null;
  const block = Buffer.from(message.hdrs, 'base64').toString('latin1');
  const line = block.split('\r\n').find((text) => text.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  return line === undefined ? null : line.slice(name.length + 1).trim();
}

export const payloadOf = ({ data }: StoredMessage): Buffer => Buffer.from(data ?? '', 'base64');
export const milliseconds = (time: string): number => Date.parse(time);
export const toNanoseconds = (ms: number): number => ms * 1_000_000;
