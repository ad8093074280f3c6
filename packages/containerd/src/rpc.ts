// One gRPC channel to containerd over its unix socket. Adds namespace, lease, deadline and cancellation to calls and maps errors;
// it retries nothing (grpc-js reconnects the channel itself) and knows no service.
import { Client, credentials, Metadata, type CallOptions as GrpcCallOptions, type ClientDuplexStream, type ClientReadableStream } from '@grpc/grpc-js';
import { ContainerdError, fromGrpc } from './errors.ts';
import { method } from './protos.ts';

/** Options of every call. */
export type CallOptions = {
  /** Id of a lease that shall hold what the call makes back from garbage collection. */
  lease?: string;
  /** Cancels the call; it then fails with code `cancelled`. */
  signal?: AbortSignal | undefined;
  /** Overrides the call's deadline. */
  timeoutMs?: number;
};

/** Deadline of calls that only touch containerd's metadata: long, since garbage collection and a slow disk hold its database up. */
export const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_MESSAGE_BYTES = 16 << 20; // containerd's own limit

export class Rpc {
  readonly namespace: string;
  readonly #client: Client;
  readonly #metadata: Metadata;

  constructor(socketPath: string, namespace: string) {
    this.namespace = namespace;
    this.#metadata = new Metadata();
    this.#metadata.set('containerd-namespace', namespace);
    this.#client = new Client(`unix://${socketPath}`, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 1000,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.use_local_subchannel_pool': 1, // close() closes the connection, whoever else talks to the same socket
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_retries': 0, // a retry of create or kill is its caller's decision
      'grpc.default_authority': 'localhost',
    });
  }

  #metadataFor(options: CallOptions): Metadata {
    if (options.lease === undefined) return this.#metadata;
    const metadata = this.#metadata.clone();
    metadata.set('containerd-lease', options.lease);
    return metadata;
  }

  /** Calls a unary method. `timeoutMs` is the method's own deadline (null: none); `options.timeoutMs` overrides it. */
  unary<Response>(name: string, request: object, options: CallOptions = {}, timeoutMs: number | null = DEFAULT_TIMEOUT_MS): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = method(name);
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(cancelled(path, signal));
    const limitMs = options.timeoutMs ?? timeoutMs;
    const callOptions: GrpcCallOptions = limitMs === null ? {} : { deadline: Date.now() + limitMs };
    return new Promise<Response>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadataFor(options), callOptions, (error, response) => {
        signal?.removeEventListener('abort', abort);
        if (error === null) resolve(response as Response);
        else reject(signal?.aborted ? cancelled(path, signal) : fromGrpc(error, path));
      });
      const abort = () => { call.cancel(); };
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Calls a server-streaming method and yields its messages; leaving the loop early cancels the call. */
  async *stream<Response>(name: string, request: object, options: CallOptions = {}): AsyncGenerator<Response, void, undefined> {
    const { path } = method(name);
    const call = this.openStream(name, request, options);
    const abort = () => { call.cancel(); };
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      for await (const item of call) yield item as Response;
    } catch (error) {
      throw options.signal?.aborted ? cancelled(path, options.signal) : fromGrpc(error, path);
    } finally {
      options.signal?.removeEventListener('abort', abort);
      call.cancel();
    }
  }

  /** The raw stream of a server-streaming method. The caller owns it: it listens for `error` and cancels. */
  openStream(name: string, request: object, options: CallOptions = {}): ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = method(name);
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadataFor(options), deadline(options));
  }

  /** The raw stream of a bidirectional method. The caller owns it: it listens for `error` and cancels. */
  openDuplex(name: string, options: CallOptions = {}): ClientDuplexStream<object, object> {
    const { path, requestSerialize, responseDeserialize } = method(name);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadataFor(options), deadline(options));
  }

  /** Waits until the channel is connected. Fails with `unavailable` after `timeoutMs`. */
  waitForReady(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error === undefined) resolve();
        else reject(new ContainerdError('unavailable', 'connect', `not reachable within ${timeoutMs} ms`, error));
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}

function deadline(options: CallOptions): GrpcCallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function cancelled(path: string, signal: AbortSignal): ContainerdError {
  return new ContainerdError('cancelled', path.slice(path.lastIndexOf('.') + 1).replace('/', '.'), 'cancelled by the caller', signal.reason);
}
