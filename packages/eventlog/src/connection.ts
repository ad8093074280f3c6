// A connection to NATS that is made in the background and kept for ever: one place that opens, watches and closes it.
// It knows nothing of streams; who needs one connection for the log and one for bulk bytes makes two of these.
import { readFileSync } from 'node:fs';
import { connect, createInbox, credsAuthenticator, ErrorCode, Events, NatsError, type Msg, type MsgHdrs, type NatsConnection } from 'nats';
import { systemClock, type Clock, type Logger } from '@pouch/process';
import { LogUnavailable } from './errors.ts';
import { Requests } from './requests.ts';
import './flush.ts';
import './transport-mend.ts';

/** Where NATS is and who we are to it. */
export interface NatsAddress {
  /** One URL or several of one cluster, e.g. `nats://127.0.0.1:4222`. */
  readonly servers: string | readonly string[];
  readonly credentials?: { readonly user?: string; readonly pass?: string; readonly token?: string };
  /** File with a member's credentials; read at each connection, so that it may be replaced. */
  readonly credentialsFile?: string | null;
  /** Where answers come; must be what the credentials allow. Default `_INBOX`. */
  readonly inboxPrefix?: string;
  /** File with the certificate of the authority that the servers' certificates must be of; with it nothing is said to a server without TLS. */
  readonly caFile?: string | null;
  /** Servers that keep each message of what is made over this connection. Default 1; `keep`: this process makes and changes nothing, it uses what is there. */
  readonly replicas?: number | 'keep';
}

export interface ConnectOptions extends NatsAddress {
  /** Shown by the server in its list of connections. */
  readonly name: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

const reconnectFirstMs = 50;
const reconnectMaxMs = 1_000;
const dialTimeoutMs = 3_000;
/** A dead peer without a closed socket is noticed after this, twice to thrice. */
const pingIntervalMs = 2_000;
const maxPingOut = 2;

/** A connection that is there, or will be. */
export class NatsLink {
  readonly #options: ConnectOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #opened = Promise.withResolvers<NatsConnection>();
  readonly #wakeDial = Promise.withResolvers<void>();
  #nc: NatsConnection | null = null;
  #requests: Requests | null = null;
  #connected = false;
  #closed = false;
  #epoch = 0;
  #dials = 0;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    // Nobody may be waiting when it is closed before it was ever open.
    this.#opened.promise.catch(() => undefined);
    void this.#open();
  }

  /** As in the options; an owner's own `replicas` goes before it. */
  get replicas(): number | 'keep' {
    return this.#options.replicas ?? 1;
  }

  /** A subject of its own for answers. */
  inbox(): string {
    return createInbox(this.#options.inboxPrefix);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Counts the times that a connection was made: whoever set something up in an earlier one does it again. */
  get epoch(): number {
    return this.#epoch;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The raw connection, at once or when the first one has been made; it is the same one for life. Rejects with LogUnavailable after `timeoutMs`, never without. */
  async connection(timeoutMs?: number): Promise<NatsConnection> {
    if (this.#nc !== null || timeoutMs === undefined) return this.#nc ?? (await this.#opened.promise);
    await this.whenConnected(timeoutMs);
    if (this.#nc === null) throw new LogUnavailable('NATS cannot be reached');
    return this.#nc;
  }

  /** Calls `listener` at every change, from now on; the answer ends that. */
  onChange(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether it is connected now or becomes so within `timeoutMs`; the signal ends the wait with false. */
  async whenConnected(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#connected) return true;
    if (timeoutMs <= 0 || this.#closed || signal?.aborted === true) return false;
    return await new Promise<boolean>((resolve) => {
      const end = (connected: boolean): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        forget();
        resolve(connected);
      };
      const onAbort = (): void => end(false);
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(() => end(false), timeoutMs);
      const forget = this.onChange((connected) => {
        if (connected || this.#closed) end(connected);
      });
    });
  }

  /**
   * One request, one answer. Fails at once where there is no connection or it breaks, so that nothing waits for an answer that cannot come.
   * Rejects with LogUnavailable; its `outcome` is `not-sent` where the server cannot have seen it.
   */
  async request(subject: string, payload: Uint8Array | string, { timeoutMs, headers }: { readonly timeoutMs: number; readonly headers?: MsgHdrs }): Promise<Msg> {
    if (this.#requests === null || !this.#connected) throw new LogUnavailable('NATS cannot be reached');
    try {
      return await this.#requests.request(subject, payload, { timeoutMs, ...(headers === undefined ? {} : { headers }) });
    } catch (error) {
      if (!(error instanceof NatsError) || error.code === ErrorCode.MaxPayloadExceeded) throw error;
      throw new LogUnavailable(`NATS: ${error.message}`, { cause: error });
    }
  }

  /** Ends it for good, and every subscription with it. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wakeDial.resolve();
    const reason = new LogUnavailable('the connection to NATS was closed by this process');
    this.#opened.reject(reason);
    this.#change(false);
    await this.#nc?.close();
  }

  async #open(): Promise<void> {
    const { logger, name, servers, credentials, credentialsFile = null, inboxPrefix, caFile = null } = this.#options;
    while (!this.#closed) {
      try {
        // A new object each time: the client writes into it.
        const nc = await connect({
          servers: typeof servers === 'string' ? servers.split(',') : [...servers],
          name,
          ...credentials,
          ...(credentialsFile === null ? {} : { authenticator: credsAuthenticator(() => readFileSync(credentialsFile)) }),
          ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
          ...(caFile === null ? {} : { tls: { caFile } }),
          timeout: dialTimeoutMs,
          pingInterval: pingIntervalMs,
          maxPingOut,
          maxReconnectAttempts: -1,
          reconnectDelayHandler: () => this.#dialDelayMs(),
          ignoreAuthErrorAbort: true,
          noAsyncTraces: true,
        });
        if (this.#closed) return await nc.close();
        this.#nc = nc;
        this.#requests = new Requests(nc, createInbox(inboxPrefix));
        void this.#watch(nc);
        this.#dials = 0;
        this.#epoch += 1;
        logger.info({ name, server: nc.getServer(), version: nc.info?.version }, 'connected to NATS');
        this.#change(true);
        this.#opened.resolve(nc);
        return;
      } catch (error) {
        if (this.#dials === 0 || this.#dials % 30 === 0) logger.warn({ name, servers: this.#options.servers, err: error }, 'NATS cannot be reached, trying on');
        await Promise.race([new Promise((resolve) => setTimeout(resolve, this.#dialDelayMs())), this.#wakeDial.promise]);
      }
    }
  }

  #dialDelayMs(): number {
    const ceilingMs = Math.min(reconnectMaxMs, reconnectFirstMs * 2 ** Math.min(this.#dials++, 10));
    return ceilingMs * (0.5 + Math.random() / 2);
  }

  async #watch(nc: NatsConnection): Promise<void> {
    const { logger, name } = this.#options;
    let lostAtMs = 0;
    for await (const { type, data, permissionContext } of nc.status()) {
      switch (type) {
        case Events.Disconnect:
          // Told again at each failed dial; only the first is news.
          if (!this.#connected) break;
          lostAtMs = this.#clock.monotonicMs();
          logger.warn({ name, server: data }, 'connection to NATS lost');
          this.#change(false);
          break;
        case Events.Reconnect:
          this.#dials = 0;
          this.#epoch += 1;
          logger.info({ name, server: data, awayMs: Math.round(this.#clock.monotonicMs() - lostAtMs) }, 'connection to NATS is back');
          this.#change(true);
          break;
        case Events.Error:
          logger.error({ name, error: data, ...permissionContext }, 'NATS answered with an error');
          if (permissionContext?.operation === 'publish') this.#requests?.refused(permissionContext.subject);
          break;
        case Events.LDM:
          logger.warn({ name, server: data }, 'the NATS server is about to shut down');
          break;
        default: // pings, cluster updates and dials concern nobody
      }
    }
    if (this.#closed) return;
    // The client gave up although it was told never to: subscriptions are gone, so this process cannot go on by itself.
    const reason = await nc.closed();
    throw new Error('the NATS client closed its connection', reason instanceof Error ? { cause: reason } : {});
  }

  #change(connected: boolean): void {
    this.#connected = connected;
    if (!connected) {
      // Sent or not, nobody can say.
      this.#requests?.fail(new LogUnavailable('the connection to NATS broke', { outcome: 'unknown' }));
    }
    for (const listener of [...this.#listeners]) listener(connected);
  }
}

/** Starts to connect in the background and goes on for ever; returns at once. */
export function connectNats(options: ConnectOptions): NatsLink {
  return new NatsLink(options);
}
