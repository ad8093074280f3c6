// What the rooms of the api share, made once by main.ts (or by a test) and passed in. Types only.
import type { HostCallName, HostCalls, HostPipeName, HostPipes, Message, NameClaim } from '@pouch/contracts';
import type { Claims, EventLog, ObjectStore } from '@pouch/eventlog';
import type { Backup } from '@pouch/eventlog/backup';
import type { Authority } from '@pouch/membership';
import type { CallOptions, ClientPipe } from '@pouch/pipes';
import type { Clock, Logger } from '@pouch/process';
import type { KeyFile } from '@pouch/sealing';
import type { Config } from './config.ts';
import type { Projection } from './projection/projection.ts';

/** Talking to the agent of a host, outside the log. Rejects with an error whose `code` is a HostErrorCode; `unavailable`: the host does not answer. */
export interface Hosts {
  call<N extends HostCallName>(hostId: string, name: N, params: HostCalls[N]['params'], options?: CallOptions): Promise<HostCalls[N]['result']>;
  /** Resolves when the agent has taken the pipe; an agent that refuses rejects it. The signal breaks it, also later. */
  open<N extends HostPipeName>(hostId: string, name: N, params: HostPipes[N]['params'], options?: CallOptions): Promise<ClientPipe<N>>;
}

export interface Deps {
  readonly config: Pick<Config, 'defaultRuntime' | 'access'>;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly log: EventLog<Message>;
  readonly projection: Projection;
  /** Names of containers, unique in the cluster. */
  readonly names: Claims<NameClaim>;
  readonly hosts: Hosts;
  /** Bytes of guest kernels, by digest. */
  readonly kernels: ObjectStore;
  /** Sealed secrets by digest, and the keys that seal them; null: none are configured. */
  readonly secrets: { readonly store: ObjectStore; readonly keys: KeyFile | null };
  /** What signs for the cluster; null: this api admits and revokes nobody. */
  readonly authority: Authority | null;
  /** Lets NATS know whose credentials the log says to be void. Never rejects. */
  readonly applyRevocations: () => Promise<void>;
  /** The whole state of the cluster, to be closed by whoever took it. Rejects with LogUnavailable. */
  readonly takeBackup: () => Promise<Backup>;
  /** Core NATS, for questions to the scheduler. */
  readonly nc: { request(subject: string, payload?: Uint8Array, options?: { timeout: number }): Promise<{ readonly data: Uint8Array }> };
}
