// The network between the processes and NATS: calls that take their time, get lost, come twice, or whose answer gets lost; links that are cut, one
// way or both. It knows no message's meaning.
import { LogUnavailable } from '@pouch/eventlog';
import type { Process, Runtime } from './runtime.ts';

/** A process's way to NATS and back. It outlives the process. */
export interface Link {
  readonly name: string;
  cutTo: boolean;
  cutFrom: boolean;
}

/** How bad the network is. Shares of messages. */
export interface Weather {
  lost: number;
  twice: number;
  slow: number;
}

export const fairWeather = (): Weather => ({ lost: 0, twice: 0, slow: 0 });

const callTimeoutMs = 2_000;
const slowestMs = 4_000;

export class Network {
  readonly #runtime: Runtime;
  readonly server: Process;
  readonly weather = fairWeather();

  constructor(runtime: Runtime, server: Process) {
    this.#runtime = runtime;
    this.server = server;
  }

  delayMs(): number {
    const { chance } = this.#runtime;
    return chance.is(this.weather.slow) ? chance.between(5, slowestMs) : chance.between(0.2, 3);
  }

  /** Asks the server. No answer in time is LogUnavailable with an unknown outcome. The request may be carried out late, or twice. */
  call<T>(client: Process, link: Link, work: () => Promise<T>): Promise<T> {
    const { chance } = this.#runtime;
    return new Promise<T>((resolve, reject) => {
      const timeout = this.#runtime.after(client, callTimeoutMs, () => reject(new LogUnavailable('NATS does not answer', { outcome: 'unknown' })));
      const answer = (settle: () => void): void => this.send(link, 'from', client, () => {
        timeout.cleared = true;
        settle();
      });
      const times = chance.is(this.weather.twice) ? 2 : 1;
      for (let time = 0; time < times; time++) {
        this.send(link, 'to', this.server, () => {
          work().then((value) => answer(() => resolve(value)), (error: unknown) => answer(() => reject(error as Error)));
        });
      }
    });
  }

  /** One message; lost without a word where the link is cut when it is sent or when it arrives. */
  send(link: Link, way: 'to' | 'from', to: Process, arrive: () => void): void {
    const cut = (): boolean => (way === 'to' ? link.cutTo : link.cutFrom);
    if (cut() || this.#runtime.chance.is(this.weather.lost)) return;
    this.#runtime.after(to, this.delayMs(), () => { if (!cut()) arrive(); });
  }
}
