// When one run of a container is probed, and what its health comes to: one probe after the other, none while it is paused. It knows no containerd:
// probes and reports are handed in.
import { afterProbe, withHealthDefaults, type Health, type HealthCheck, type HealthRecord, type HealthStatus, type Probe } from '@pouch/domain';

/** Null: nothing can be said of the container by it, for the host is busy with itself or the container has ended. */
export type ProbeOutcome = Pick<Probe, 'exitCode' | 'output'> | null;

export interface MonitorDeps {
  readonly check: HealthCheck;
  readonly startedAtMs: number;
  /** What the log says, or is going to be told: an earlier life of the agent may have probed this run, and the log may be put back to an earlier state. Null: the run is over. */
  readonly told: () => HealthStatus | null;
  readonly now: () => number;
  /** Never rejects; settles once nothing of the probe is left, and soon when the signal aborts. */
  readonly probe: (signal: AbortSignal) => Promise<ProbeOutcome>;
  readonly report: (health: Health) => void;
}

/** A check that flaps changes its container's health no oftener: each change stands in the log. */
const changeGapMs = 1_000;

export class Monitor {
  readonly #deps: MonitorDeps;
  readonly #check: HealthCheck;
  #record: HealthRecord;
  /** Null: it does not probe just now. */
  #probing: AbortController | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
    this.#check = withHealthDefaults(deps.check);
    this.#record = { status: deps.told() ?? 'starting', failingStreak: 0, probes: [] };
  }

  get record(): HealthRecord {
    return this.#record;
  }

  /** Probes from here on, the first time after one interval. */
  resume(): void {
    if (this.#probing !== null) return;
    this.#probing = new AbortController();
    void this.#follow(this.#probing.signal);
  }

  /** Breaks off a probe that is under way: it says nothing. Resolves once it has gone. */
  async pause(): Promise<void> {
    this.#probing?.abort();
    this.#probing = null;
    await this.#last;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { now, probe } = this.#deps;
    await this.#last; // of before a pause
    let leastMs = 0;
    while (await slept(Math.max(leastMs, this.#check.intervalMs), signal)) {
      const startedAtMs = now();
      const outcome = probe(signal);
      this.#last = outcome;
      const ended = await outcome;
      if (signal.aborted) return;
      leastMs = ended !== null && this.#note({ ...ended, startedAtMs, endedAtMs: now() }) ? changeGapMs : 0;
    }
  }

  /** Whether there was something to tell. */
  #note(probe: Probe): boolean {
    const { startedAtMs, report, told } = this.#deps;
    this.#record = afterProbe(this.#record, probe, { check: this.#check, startedAtMs });
    const { status } = this.#record;
    const before = told();
    if (status === 'starting' || before === null || status === before) return false;
    report(status);
    return true;
  }
}

/** False: aborted. */
async function slept(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  return await new Promise((resolve) => {
    const stop = (): void => { clearTimeout(timer); resolve(false); };
    const timer = setTimeout(() => { signal.removeEventListener('abort', stop); resolve(true); }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
