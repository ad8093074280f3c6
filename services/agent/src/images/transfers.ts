// Images that come to this host: pulls from registries and loads of archives, each a pipe with lines of progress. Names are told to the
// log by the room; what an image is, containerd's client knows.
import type { Writable } from 'node:stream';
import { familiarName, load, parsePlatform, platformText, pull, shortDigest, type Containerd, type Credentials, type LoadProgress, type PullProgress, type RegistryConfig } from '@pouch/containerd';
import type { HostPipes, ImageProgress, RegistryAuth } from '@pouch/contracts';
import type { ImageRecord } from '@pouch/domain';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import type { Inventory } from './inventory.ts';

export interface TransferDeps {
  readonly containerd: Containerd;
  readonly registries: RegistryConfig;
  readonly inventory: Inventory;
  /** Tells the log of names that came; answers with its sequence. */
  readonly arrived: (names: readonly string[], arrival: 'pulled' | 'loaded', actor: string) => Promise<number>;
}

/** Transfers under way at once; more are refused. */
export const maxTransfers = 32;
/** Lines that a reader has not taken; beyond it, those that only say how far something is are left out. */
const maxWaitingBytes = 256 * 1024;
/** Without a word for this long the pipe is opened all the same, so that the other side knows that somebody is at it. */
const acceptAfterMs = 10_000;

export class Transfers {
  readonly #deps: TransferDeps;
  #underWay = 0;

  constructor(deps: TransferDeps) {
    this.#deps = deps;
  }

  /** Refused before the first line where the registry does not have it: the client is then answered with an error instead of a stream. */
  async pull({ reference, platform, auth, actor }: HostPipes['image.pull']['params'], pipe: ServerPipe): Promise<HostPipes['image.pull']['trailer']> {
    return await this.#counted(async () => {
      const { containerd, registries, inventory, arrived } = this.#deps;
      requireOwnPlatform(platform);
      const lines = new Lines(pipe);
      const timer = setTimeout(() => pipe.accept(), acceptAfterMs);
      try {
        let heading: ImageProgress | null = null;
        const onProgress = (progress: PullProgress): void => {
          if (progress.type === 'resolving') {
            heading = { id: progress.tag, status: `Pulling from ${progress.repository}`, current: null, total: null };
            return;
          }
          if (heading !== null) lines.tell(heading);
          heading = null;
          const { id, status, current = null, total = null } = progress;
          lines.tell({ id, status, current, total }, status === 'Downloading');
        };
        const credentials = credentialsOf(auth);
        const pulled = await pull(containerd, reference, { registries, onProgress, signal: pipe.signal, ...(platform?.includes('/') ? { platform } : {}), ...(credentials === null ? {} : { auth: credentials }) });
        const seq = await arrived([pulled.reference], 'pulled', actor);
        const record = await recordOf(inventory, pulled.imageId, pulled.targetDigest);
        lines.say(`Digest: ${pulled.targetDigest}`);
        lines.say(`Status: ${pulled.upToDate ? 'Image is up to date' : 'Downloaded newer image'} for ${familiarName(pulled.reference)}`);
        return { seq, record };
      } finally {
        clearTimeout(timer);
      }
    });
  }

  async load({ quiet, actor }: HostPipes['image.load']['params'], pipe: ServerPipe): Promise<HostPipes['image.load']['trailer']> {
    return await this.#counted(async () => {
      const { containerd, arrived } = this.#deps;
      pipe.accept();
      const lines = new Lines(pipe);
      const onProgress = (progress: LoadProgress): void => {
        if (quiet) return;
        if (progress.type === 'layer') lines.tell({ id: progress.id, status: progress.status, current: progress.current, total: progress.total });
        else lines.tell({ id: shortName(progress.name), status: 'Loading layer', current: progress.current, total: progress.total }, progress.current < progress.total);
      };
      // An archive that is refused half-way must not take the pipe along: its answer goes through it.
      const source = pipe.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
      const loaded = await load(containerd, source, { onProgress, signal: pipe.signal });
      const seq = await arrived(loaded.map(({ recordName }) => recordName), 'loaded', actor);
      return { seq, loaded: loaded.map(({ reference, imageId }) => ({ name: reference, imageId })) };
    });
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    if (this.#underWay >= maxTransfers) throw new OperatingError('unavailable', `${maxTransfers} images are being pulled or loaded here: try again`, { retryable: true });
    this.#underWay++;
    try {
      return await work();
    } finally {
      this.#underWay--;
    }
  }
}

/** An image of another architecture could be stored, but neither be started nor be told apart under the same name. */
function requireOwnPlatform(asked: string | null): void {
  if (asked === null || asked === '' || asked.toLowerCase() === 'linux') return;
  const [wanted, own] = [parsePlatform(asked), parsePlatform()];
  if (wanted.os !== own.os || wanted.architecture !== own.architecture) throw new OperatingError('bad-parameter', `platform: this host runs images for ${platformText(own)}, not for ${platformText(wanted)}`);
}

async function recordOf(inventory: Inventory, imageId: string, targetDigest: string): Promise<ImageRecord> {
  const images = await inventory.list();
  const found = images.find(({ target }) => target.digest === targetDigest) ?? images.find(({ record }) => record.id === imageId);
  // Removed by somebody in this very moment.
  if (found === undefined) throw new OperatingError('conflict', `the image ${imageId} was pulled and removed again meanwhile`);
  return found.record;
}

function credentialsOf(auth: RegistryAuth | null): Credentials | null {
  if (auth === null) return null;
  const given = Object.entries(auth).filter(([, text]) => text !== '');
  return given.length === 0 ? null : (Object.fromEntries(given) as Credentials);
}

/** `blobs/sha256/<hex>`, `<hex>/layer.tar` and `<hex>.json` by the first digits of the hex, as layers are shown. */
function shortName(path: string): string {
  const hex = /[0-9a-f]{64}/.exec(path)?.[0];
  return hex === undefined ? path.slice(-64) : shortDigest(`sha256:${hex}`);
}

/** Progress as JSON lines. Never waits: what a slow reader cannot take of mere progress is left out, and the rest is bounded by the layers. */
class Lines {
  readonly #to: Writable;

  constructor(to: Writable) {
    this.#to = to;
  }

  tell(line: ImageProgress, mayBeLeftOut = false): void {
    if (this.#to.destroyed || this.#to.writableEnded || (mayBeLeftOut && this.#to.writableLength > maxWaitingBytes)) return;
    this.#to.write(`${JSON.stringify(line)}\n`);
  }

  say(status: string): void {
    this.tell({ id: null, status, current: null, total: null });
  }
}
