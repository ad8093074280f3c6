// The side of those who ask, an api or another host: calls with one answer, and pipes, to any host by its id.
import type { Duplex } from 'node:stream';
import { isDelivery, pipePrefix, type HostCallName, type HostCalls, type HostPipeName, type HostPipes, type NatsRole } from '@pouch/contracts';
import { ErrorCode, NatsError, type NatsConnection } from 'nats';
import { Endpoint } from './endpoint.ts';
import { fromWire, HostUnreachable, toWire, type WireError } from './errors.ts';
import { decodeJson, encodeJson } from './frame.ts';

/** An open pipe: bytes both ways, each half closable by itself, and the host's last word. Destroying it tells the host. */
export type ClientPipe<N extends HostPipeName> = Duplex & {
  /** Resolves after the output's end; rejects with RemoteError or PipeBroken when the pipe ends before. */
  readonly trailer: Promise<HostPipes[N]['trailer']>;
};

export interface CallOptions {
  /** Default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const defaultTimeoutMs = 30_000;

/** Reaches hosts over one connection; bulk bytes want a connection of their own, since they delay everything else on theirs. */
export class HostClient {
  readonly #connection: NatsConnection;
  readonly #endpoint: Endpoint;
  readonly #hostOf = new WeakMap<object, string>();

  /** `role`: the asker's own. */
  constructor(connection: NatsConnection, role: NatsRole = { kind: 'api' }) {
    this.#connection = connection;
    this.#endpoint = new Endpoint(connection, pipePrefix(role), (pipe) => pipe.destroy(new HostUnreachable(this.#hostOf.get(pipe) ?? '?')));
  }

  /** Pipes that are open now. */
  get openPipes(): number {
    return this.#endpoint.size;
  }

  /** Asks a host and waits for its answer. Rejects with RemoteError (the host's own words) or HostUnreachable. */
  async call<N extends HostCallName>(hostId: string, name: N, params: HostCalls[N]['params'], { timeoutMs = defaultTimeoutMs }: CallOptions = {}): Promise<HostCalls[N]['result']> {
    try {
      const reply = await this.#connection.request(`host.${hostId}.call.${name}`, encodeJson(params), { timeout: timeoutMs });
      if (isDelivery(reply.reply)) throw fromWire({ code: 'internal', message: `what came for the call ${name} is not an answer of host ${hostId}` });
      const answer = decodeJson(Buffer.from(reply.data)) as { ok?: HostCalls[N]['result']; error?: WireError } | null;
      if (answer?.error !== undefined) throw fromWire(answer.error);
      if (answer === null || !('ok' in answer)) throw fromWire({ code: 'internal', message: `host ${hostId} answered ${name} with something else than JSON` });
      return answer.ok as HostCalls[N]['result'];
    } catch (error) {
      if (error instanceof NatsError && (error.code === ErrorCode.NoResponders || error.code === ErrorCode.Timeout || error.code === ErrorCode.ConnectionClosed || error.code === ErrorCode.Disconnect)) {
        throw new HostUnreachable(hostId, error);
      }
      throw error;
    }
  }

  /** Opens a pipe: resolves when the host has accepted, rejects with its refusal or HostUnreachable. The signal breaks it, also later. */
  async open<N extends HostPipeName>(hostId: string, name: N, params: HostPipes[N]['params'], { timeoutMs = defaultTimeoutMs, signal }: CallOptions = {}): Promise<ClientPipe<N>> {
    signal?.throwIfAborted();
    const { pipe, subject } = this.#endpoint.add(null);
    this.#hostOf.set(pipe, hostId);
    const onAbort = () => pipe.destroy(signal?.reason instanceof Error ? signal.reason : undefined);
    signal?.addEventListener('abort', onAbort, { once: true });
    pipe.once('close', () => signal?.removeEventListener('abort', onAbort));
    const timer = setTimeout(() => pipe.destroy(new HostUnreachable(hostId)), timeoutMs);
    try {
      this.#connection.publish(`host.${hostId}.pipe.${name}`, encodeJson(params), { reply: subject });
      await pipe.accepted;
      return pipe as unknown as ClientPipe<N>;
    } catch (error) {
      if (!pipe.destroyed) pipe.destroy();
      throw error instanceof Error ? error : fromWire(toWire(error));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Breaks the pipes that are open. The connection stays. */
  close(): void {
    this.#endpoint.close();
  }
}
