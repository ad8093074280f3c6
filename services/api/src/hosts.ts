// The hosts' agents over two connections to NATS, one for calls and one for pipes; made when first used, for NATS may come later than us.
import type { HostCallName, HostCalls, HostPipeName, HostPipes } from '@pouch/contracts';
import type { NatsLink } from '@pouch/eventlog';
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
    const connection = await this.#links.callsLink.connection(connectMs);
    // A link keeps one connection for life, so the client does too.
    this.#calls ??= new HostClient(connection);
    return await this.#calls.call(hostId, name, params, options);
  }

  async open<N extends HostPipeName>(hostId: string, name: N, params: HostPipes[N]['params'], options?: CallOptions): Promise<ClientPipe<N>> {
    const connection = await this.#links.pipesLink.connection(connectMs);
    this.#pipes ??= new HostClient(connection);
    return await this.#pipes.open(hostId, name, params, options);
  }

  close(): void {
    this.#calls?.close();
    this.#pipes?.close();
  }
}
