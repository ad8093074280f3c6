// Serves blobs of this host's content store to other hosts: by digest, read-only, a few at a time.
import { isContainerdError, type Containerd } from '@pouch/containerd';
import type { HostPipes } from '@pouch/contracts';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import { write } from '../streams/frames.ts';

/** Blobs that are read at once; whoever asks for more asks another host, or later. */
const maxReads = 16;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

export class ContentServer {
  readonly #containerd: Containerd;
  #reads = 0;

  constructor(containerd: Containerd) {
    this.#containerd = containerd;
  }

  /** Writes the blob from `offset` on. Refuses with `not-found`, `bad-parameter`, or `unavailable` where too many are read. */
  async read({ digest, offset }: HostPipes['content.read']['params'], output: ServerPipe): Promise<Record<string, never>> {
    if (typeof digest !== 'string' || !digestPattern.test(digest)) throw new OperatingError('bad-parameter', 'digest: it is sha256: and 64 hex digits');
    if (!Number.isSafeInteger(offset) || offset < 0) throw new OperatingError('bad-parameter', 'offset: it is a whole number of bytes from 0 on');
    if (this.#reads >= maxReads) throw new OperatingError('unavailable', `${maxReads} blobs are being read here: try again`, { retryable: true });
    this.#reads += 1;
    try {
      const { size } = await this.#containerd.content.info(digest).catch((error: unknown) => {
        throw isContainerdError(error, 'not-found') ? new OperatingError('not-found', `this host does not have ${digest}`) : error;
      });
      output.accept();
      output.resume();
      if (offset < size) {
        for await (const chunk of this.#containerd.content.read(digest, { offset, signal: output.signal })) await write(output, chunk, output.signal);
      }
      return {};
    } finally {
      this.#reads -= 1;
    }
  }
}
