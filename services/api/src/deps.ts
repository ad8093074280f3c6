// What the rooms of the api share, made once by main.ts (or by a test) and passed in. Types only.
import type { Duplex } from 'node:stream';
import type { HostCallName, HostCalls, HostPipeName, HostPipes, Message, NameClaim } from '@pouch/contracts';
import type { EventLog } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { Config } from './config.ts';
import type { Projection } from './projection/projection.ts';

/** Talking to the agent of a host, outside the log. Rejects with an error whose `code` is a HostErrorCode, or says that the host cannot be reached. */
export interface Hosts {
  call<N extends HostCallName>(hostId: string, name: N, params: HostCalls[N]['params'], options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<HostCalls[N]['result']>;
  /** Resolves when the agent has taken the pipe; an agent that refuses rejects it. The trailer comes after the stream's end. */
  open<N extends HostPipeName>(hostId: string, name: N, params: HostPipes[N]['params'], options?: { readonly signal?: AbortSignal }): Promise<OpenPipe<N>>;
}

export interface OpenPipe<N extends HostPipeName> {
  /** Reads the answer, writes the input; its end is EOF for the other side. */
  readonly stream: Duplex;
  readonly trailer: Promise<HostPipes[N]['trailer']>;
}

/** Who has a name. `revision` fences releasing and taking over. */
export interface Claimed {
  readonly claim: NameClaim;
  readonly revision: number;
}

/** Names of containers, unique in the cluster. Rejects with LogUnavailable. */
export interface Names {
  /** Takes a free name; the holder where it is not free. `over`: takes it from that very claim. */
  claim(name: string, claim: NameClaim, over?: Claimed): Promise<{ readonly ok: true; readonly revision: number } | { readonly ok: false; readonly holder: Claimed }>;
  /** Gives a name back if that container still has it. */
  release(name: string, containerId: string): Promise<void>;
}

export interface Deps {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly log: EventLog<Message>;
  readonly projection: Projection;
  readonly names: Names;
  readonly hosts: Hosts;
  /** Core NATS, for questions to the scheduler. */
  readonly nc: { request(subject: string, payload?: Uint8Array, options?: { timeout: number }): Promise<{ readonly data: Uint8Array }> };
}
