// The hosts' agents over two connections to NATS, one for calls and one for pipes; made when first used, for NATS may come later than us.
import type { HostCallName, HostCalls, HostPipeName, HostPipes } from '@pouch/contracts';
import { LogUnavailable, type NatsLink } from '@pouch/eventlog';
import { HostClient, type CallOptions, type ClientPipe } from '@pouch/pipes';
import type { Hosts } from './deps.ts';

/** How long a request waits for NATS to come. */
const connectMs = 2_000;

export class LinkedHosts implements Hosts {
  readonly #links: { readonly callsLink: NatsLink; readonly pipesLink: NatsLink };
  #calls: HostClient | undefined;
  #pipes: HostClient | undefined;

  constructor(links: { readonly callsLink: NatsLink; readonly pipesLink: NatsLink }) {
    this.#links = links;
  }

  /** Rejects with RemoteError, HostUnreachable, or LogUnavailable where NATS is away. */
  async call<N extends HostCallName>(hostId: string, name: N, params: HostCalls[N]['params'], options?: CallOptions): Promise<HostCalls[N]['result']> {
    // A link keeps one connection for life, so the client does too.
    return await whileConnected(this.#links.callsLink, async (connection) => await (this.#calls ??= new HostClient(connection)).call(hostId, name, params, options));
  }

  async open<N extends HostPipeName>(hostId: string, name: N, params: HostPipes[N]['params'], options?: CallOptions): Promise<ClientPipe<N>> {
    const opening = new AbortController();
    const signal = options?.signal === undefined ? opening.signal : AbortSignal.any([options.signal, opening.signal]);
    return await whileConnected(
      this.#links.pipesLink, async (connection) => await (this.#pipes ??= new HostClient(connection)).open(hostId, name, params, { ...options, signal }), (reason) => opening.abort(reason),
    );
  }

  close(): void {
    this.#calls?.close();
    this.#pipes?.close();
  }
}

/** Does the work if NATS is there, and gives up on it when NATS goes away meanwhile: the client would buffer what is asked, and wait for an answer to its time limit. */
async function whileConnected<T>(link: NatsLink, work: (connection: ConstructorParameters<typeof HostClient>[0]) => Promise<T>, giveUp?: (reason: Error) => void): Promise<T> {
  if (!(await link.whenConnected(connectMs))) throw new LogUnavailable('NATS cannot be reached: hosts cannot be asked');
  const connection = await link.connection(connectMs);
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => { /* the work had ended before */ });
  const forget = link.onChange((connected) => {
    if (connected) return;
    const reason = new LogUnavailable('the connection to NATS broke', { outcome: 'unknown' });
    lost.reject(reason);
    giveUp?.(reason);
  });
  try {
    return await Promise.race([work(connection), lost.promise]);
  } finally {
    forget();
  }
}
