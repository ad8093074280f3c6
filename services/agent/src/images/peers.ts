// Other hosts as sources of images: what one host has, another need not have from a registry, which may not even have it.
import { ImageError, readManifest, type BlobSource, type BlobStream } from '@pouch/containerd';
import type { HostId } from '@pouch/domain';
import type { NatsLink } from '@pouch/eventlog';
import { HostClient, type ClientPipe } from '@pouch/pipes';
import { messageOf } from '@pouch/process';

/** How long a request waits for NATS to come. */
const connectMs = 2_000;

export class Peers {
  readonly #link: NatsLink;
  readonly #hostId: HostId;
  #client: HostClient | undefined;

  constructor({ link, hostId }: { readonly link: NatsLink; readonly hostId: HostId }) {
    this.#link = link;
    this.#hostId = hostId;
  }

  /** In the order in which they are asked. The signal breaks off what is under way. */
  sources(holders: readonly HostId[], signal: AbortSignal): readonly BlobSource[] {
    return holders.map((holder) => new Peer(holder, (digest, offset) => this.#open(holder, { digest, offset }, signal)));
  }

  close(): void {
    this.#client?.close();
  }

  async #open(holder: HostId, params: { digest: string; offset: number }, signal: AbortSignal): Promise<ClientPipe<'content.read'>> {
    // A link keeps one connection for life, so the client does too.
    const connection = await this.#link.connection(connectMs);
    const pipe = await (this.#client ??= new HostClient(connection, { kind: 'agent', hostId: this.#hostId })).open(holder, 'content.read', params, { signal });
    pipe.trailer.catch(() => undefined); // whoever reads sees it, too
    pipe.end();
    return pipe;
  }
}

/** One host that has an image; it knows digests, no tags. */
class Peer implements BlobSource {
  readonly isMirror = true;
  readonly host: string;
  readonly #read: (digest: string, offset: number) => Promise<ClientPipe<'content.read'>>;

  constructor(host: string, read: (digest: string, offset: number) => Promise<ClientPipe<'content.read'>>) {
    this.host = host;
    this.#read = read;
  }

  get title(): string {
    return `host ${this.host}`;
  }

  async manifest(tagOrDigest: string): Promise<{ bytes: Buffer; mediaType: string }> {
    if (!tagOrDigest.startsWith('sha256:')) throw new ImageError('manifest-unknown', 'hosts are asked by digest only');
    const { body } = await this.blob(tagOrDigest, 0);
    return { bytes: await readManifest(body, this.title), mediaType: '' };
  }

  async blob(digest: string, offset: number): Promise<BlobStream> {
    try {
      return { offset, body: this.#told(await this.#read(digest, offset)) };
    } catch (error) {
      throw this.#explained(error);
    }
  }

  async *#told(pipe: ClientPipe<'content.read'>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* pipe as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #explained(error: unknown): ImageError {
    if (error instanceof ImageError) return error;
    const code = (error as { code?: unknown }).code;
    return new ImageError(code === 'not-found' ? 'manifest-unknown' : 'unreachable', `${this.title}: ${messageOf(error)}`, error);
  }
}
