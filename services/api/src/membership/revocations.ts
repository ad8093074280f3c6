// Keeps the NATS servers to what the log says of revoked members: at the start, when somebody has been revoked here, and now and then, for another api may
// have died between the decision and its effect. Servers only ever learn of more.
import { revokeAtServers, type Authority, type Revoked, type ServersAt } from '@pouch/membership';
import { messageOf, type Logger } from '@pouch/process';
import type { Projection } from '../projection/projection.ts';

export interface RevocationsDeps {
  readonly authority: Authority;
  readonly servers: ServersAt;
  readonly projection: Projection;
  readonly logger: Logger;
}

const everyMs = 15_000;

export class Revocations {
  readonly #deps: RevocationsDeps;
  readonly #timer: NodeJS.Timeout;
  #applied = '';
  #running: Promise<void> | null = null;
  #again = false;

  constructor(deps: RevocationsDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => { void this.apply(); }, everyMs).unref();
  }

  /** Never rejects: what fails now is tried again in a while. One at a time; who asks meanwhile waits for one that begins after. */
  apply(): Promise<void> {
    if (this.#running !== null) this.#again = true;
    this.#running ??= this.#work().finally(() => { this.#running = null; });
    return this.#running;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #work(): Promise<void> {
    const { authority, servers, projection, logger } = this.#deps;
    do {
      this.#again = false;
      const revoked = revokedIn(projection);
      const text = JSON.stringify(revoked);
      // A server that lost its memory gets it from the others of its cluster, or from the next start of an api.
      if (text === this.#applied || text === '{}') return;
      try {
        if (await revokeAtServers(authority, revoked, servers)) logger.info({ keys: Object.keys(revoked).length }, 'NATS refuses revoked members');
        this.#applied = text;
      } catch (error) {
        logger.warn({ error: messageOf(error) }, 'NATS could not be told of revoked members; it is tried again');
      }
    } while (this.#again);
  }
}

/** NATS counts in seconds: what was signed up to this one is void. */
function revokedIn(projection: Projection): Revoked {
  return Object.fromEntries(projection.present.records('member').flatMap(({ state }) => state.revoked.map(({ publicKey, atMs }) => [publicKey, Math.ceil(atMs / 1_000)] as const)));
}
