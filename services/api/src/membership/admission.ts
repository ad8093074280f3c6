// Admits hosts: answers who shows a join token over NATS with signed credentials, sealed to the asker. Every step is a decision of the log, so that two apis
// cannot give one use of a token twice. Nothing of a token or of what is answered is logged.
import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { everyJoinRequest, isDelivery, joinRequestSubject, joinTokenSubject, memberSubject, toJoinRequest, type JoinAnswer, type JoinGrant, type JoinRequest, type Message } from '@pouch/contracts';
import { alreadyThere, decideJoinToken, decideMember, hostId as toHostId, isAccessName, InvalidIdError, type HostId } from '@pouch/domain';
import { execute, type EventLog, type NatsLink } from '@pouch/eventlog';
import { signMember, type Authority } from '@pouch/membership';
import type { Clock, Logger } from '@pouch/process';
import { sealFor, SealedError } from '@pouch/sealing';
import type { Projection } from '../projection/projection.ts';

export interface AdmissionDeps {
  readonly authority: Authority;
  readonly link: NatsLink;
  readonly log: EventLog<Message>;
  readonly projection: Projection;
  readonly clock: Clock;
  readonly logger: Logger;
  /** As members are told. */
  readonly natsUrl: string;
  /** File of the cluster's keys; null: there is none. */
  readonly secretsKey: string | null;
  /** A host's earlier credentials are void now. */
  readonly onRevoked: () => void;
}

type Subscription = ReturnType<Awaited<ReturnType<NatsLink['connection']>>['subscribe']>;
type Asked = Awaited<ReturnType<NatsLink['request']>>;

/** Requests under way at once; more are told to try again. */
const maxAtOnce = 8;
/** One api answers each. */
const queue = 'api';
const showMs = 10_000;

/** Why nobody is admitted; told as it stands. */
class Refused extends Error {}

/** Serves as soon as NATS can be reached, until `stop`. */
export function serveAdmission(deps: AdmissionDeps): { stop(): void } {
  const { link, logger } = deps;
  let subscription: Subscription | null = null;
  let stopped = false;
  let busy = 0;
  const answer = async (message: Asked): Promise<void> => {
    if (message.reply === undefined || isDelivery(message.reply)) return;
    busy += 1;
    const say = (text: JoinAnswer): void => { message.respond(JSON.stringify(text)); };
    try {
      if (busy > maxAtOnce) throw new Refused('too many hosts join at once: try again');
      say({ ok: true, sealed: await admit(deps, message) });
    } catch (error) {
      if (error instanceof Refused) logger.warn({ reason: error.message }, 'a host was not admitted');
      else logger.error({ err: error }, 'a host could not be admitted');
      say({ ok: false, message: error instanceof Refused ? error.message : 'the api has failed; its log says why' });
    } finally {
      busy -= 1;
    }
  };
  void link.connection().then((nc) => {
    if (!stopped) subscription = nc.subscribe(everyJoinRequest, { queue, callback: (error, message) => { if (error === null) void answer(message); } });
  }, () => undefined); // closed before it was ever open
  return {
    stop() {
      stopped = true;
      subscription?.unsubscribe();
    },
  };
}

async function admit(deps: AdmissionDeps, message: Asked): Promise<string> {
  const request = toJoinRequest(message.data);
  const name = message.subject.split('.').at(-1) ?? '';
  if (request === null || !isAccessName(name) || message.subject !== joinRequestSubject(name)) throw new Refused('this is no request of a host of this version');
  const host = idOf(request);
  const hash = createHash('sha256').update(request.token).digest('hex');
  const { projection, logger } = deps;
  // What can be told before a use of the token is spent.
  const token = projection.present.record('join', name)?.state;
  const seal = (plain: Uint8Array): Buffer => sealFor(Buffer.from(request.sealKey, 'base64'), plain);
  requireSealable(seal);
  const bound = token !== undefined && token.host === host;
  const known = projection.present.host(host)?.state;
  const member = projection.present.record('member', host)?.state;
  const isAgain = member?.state === 'active' && member.publicKey === request.memberKey;
  if (token?.hash === hash && !bound && !isAgain && (member?.state === 'active' || (known !== undefined && known.state !== 'removed'))) throw new Refused(alreadyThere(host));
  await decideOf(deps, 'join', joinTokenSubject(name), (state, nowMs) => decideJoinToken(state, { type: 'UseJoinToken', hash, hostId: host, publicKey: request.memberKey }, nowMs));
  const seq = await decideOf(deps, 'member', memberSubject(host), (state, nowMs) => decideMember(state, { type: 'AdmitMember', hostId: host, publicKey: request.memberKey, token: name, replace: bound }, nowMs));
  await projection.waitForSeq(seq, { timeoutMs: showMs });
  if (bound) deps.onRevoked();
  logger.info({ hostId: host, token: name }, 'a host is admitted');
  return seal(Buffer.from(JSON.stringify(await grant(deps, host, request)))).toString('base64');
}

function idOf({ hostId }: JoinRequest): HostId {
  try {
    return toHostId(hostId);
  } catch (error) {
    if (error instanceof InvalidIdError) throw new Refused(error.message);
    throw error;
  }
}

function requireSealable(seal: (plain: Uint8Array) => Buffer): void {
  try {
    seal(new Uint8Array());
  } catch (error) {
    if (error instanceof SealedError) throw new Refused(error.message);
    throw error;
  }
}

async function grant({ authority, natsUrl, secretsKey }: AdmissionDeps, host: HostId, { memberKey }: JoinRequest): Promise<JoinGrant> {
  return {
    jwt: await signMember(authority.keys, { publicKey: memberKey, role: { kind: 'agent', hostId: host }, expiresAtMs: null }),
    servers: natsUrl.split(','), secretsKey: secretsKey === null ? null : await readFile(secretsKey, 'utf8'),
  };
}

type Decide<K extends 'join' | 'member'> = (state: Parameters<Parameters<typeof execute<K>>[0]['decide']>[0], nowMs: number) => ReturnType<Parameters<typeof execute<K>>[0]['decide']>;

/** Sequence of the decision. */
async function decideOf<K extends 'join' | 'member'>({ log, clock }: AdmissionDeps, kind: K, subject: string, decide: Decide<K>): Promise<number> {
  const nowMs = clock.now();
  const outcome = await execute<K>({ log, kind, subject, commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor: 'join', cause: null }, decide: (state) => decide(state, nowMs) });
  if (!outcome.ok) throw new Refused(outcome.refusal.message);
  return outcome.seq;
}
