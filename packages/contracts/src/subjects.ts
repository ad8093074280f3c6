// Subjects of the log: one per aggregate, so that the last sequence of a subject is the optimistic lock on it.
import { policyId, refusalsId, secretId, volumeId, type AggregateKind, type ContainerId, type ExecId, type HostId, type ImageKey, type KernelId } from '@pouch/domain';

export const streamName = 'EVT';
export const everySubject = 'evt.>';
export const claimsBucket = 'names';
export const leasesBucket = 'leases';
/** Object store of guest kernels, by digest. */
export const kernelsBucket = 'kernels';

/** Object store of sealed secrets, by the digest of the sealed bytes. */
export const secretsBucket = 'secrets';

export const placementSubject = (id: ContainerId) => `evt.placement.${id}`;
export const containerSubject = (host: HostId, id: ContainerId) => `evt.container.${host}.${id}`;
export const hostSubject = (host: HostId) => `evt.host.${host}`;
export const imageSubject = (host: HostId, key: ImageKey) => `evt.image.${host}.${key}`;
export const kernelSubject = (id: KernelId) => `evt.kernel.${id}`;
export const execSubject = (host: HostId, id: ExecId) => `evt.exec.${host}.${id}`;

/** Names of tokens are tokens of subjects as they are. */
export const tokenSubject = (name: string) => `evt.token.${name}`;
export const secretSubject = (name: string) => `evt.secret.${secretId(name)}`;
export const joinTokenSubject = (name: string) => `evt.join.${name}`;
/** Not the host's own subject: it must not say of itself which key is its. */
export const memberSubject = (host: HostId) => `evt.member.${host}`;
export const volumeSubject = (name: string) => `evt.volume.${volumeId(name)}`;
/** What an agent hears of volumes: it says nothing of them. */
export const everyVolume = 'evt.volume.*';
/** Names of services are tokens of subjects as they are. */
export const serviceSubject = (name: string) => `evt.service.${name}`;
export const policySubject = `evt.policy.${policyId}`;
export const refusalSubject = `evt.refusal.${refusalsId}`;

/** All that an agent follows. */
export const containersOfHost = (host: HostId) => `evt.container.${host}.>`;

export interface SubjectParts {
  /** Unknown kinds, of newer versions, are told as they stand. */
  readonly kind: AggregateKind | (string & {});
  /** Null for aggregates that belong to no host (placement). */
  readonly hostId: string | null;
  readonly id: string;
}

/** Takes a subject of the log apart; null if it is none. */
export function parseSubject(subject: string): SubjectParts | null {
  const [root, kind, first, second, ...rest] = subject.split('.');
  if (root !== 'evt' || kind === undefined || first === undefined || rest.length > 0) return null;
  if (second !== undefined) return { kind, hostId: first, id: second };
  return { kind, hostId: kind === 'host' ? first : null, id: first };
}

/** What a process is to NATS: its permissions, and where it is answered, follow from it. */
export type NatsRole =
  | { readonly kind: 'api' } | { readonly kind: 'scheduler' } | { readonly kind: 'agent'; readonly hostId: HostId }
  /** Who holds a join token, and may do nothing but ask to be admitted. */
  | { readonly kind: 'joiner'; readonly token: string }
  /** Who puts back a backup, with credentials of that hour. */
  | { readonly kind: 'restorer' };

const place = (role: NatsRole): string => (role.kind === 'agent' ? `agent.${role.hostId}` : role.kind === 'joiner' ? `joiner.${role.token}` : role.kind);

/** What is answered to a member comes on subjects below this, which nobody else may hear. */
export const inboxPrefix = (role: NatsRole): string => `_INBOX.${place(role)}`;
/**
 * Whether JetStream delivered a message, instead of a member saying it. A host may make consumers of its own messages, and JetStream lets their maker choose
 * where these go, whatever it may publish to: so whoever listens to members passes over what is marked so.
 */
export const isDelivery = (reply: string | undefined): boolean => reply?.startsWith('$JS.') === true;

/** Where its ends of pipes are; likewise its own. */
export const pipePrefix = (role: NatsRole): string => `_PIPE.${place(role)}`;
/** Whether a subject can be one's end of a pipe: nothing else is ever sent frames to, whatever a member asks for. */
export const isPipeEnd = (subject: string | undefined): subject is string => subject?.startsWith('_PIPE.') === true;
