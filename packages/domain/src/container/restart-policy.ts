// When a container that ended is started again, by Docker's four policies. Pure: the agent asks it, with or without the log at hand.
import type { RestartPolicy } from './spec.ts';

/** First delay of the back-off, doubled at each restart in a row (Docker: 100 ms). */
export const restartDelayFirstMs = 100;
/** The delay grows no further than this (Docker: 1 minute). */
export const restartDelayMaxMs = 60_000;
/** A run of this length was a success: the back-off begins anew (Docker: 10 s). */
export const restartResetAfterMs = 10_000;

export interface EndedRun {
  readonly exitCode: number;
  /** How long the run lasted, in ms. */
  readonly ranMs: number;
  /** Restarts by policy so far since the last start by a person. */
  readonly restartCount: number;
  /** Consecutive quick restarts so far; grows the delay. */
  readonly backoffStep: number;
  /** A person stopped, killed, restarted or removes it. */
  readonly manuallyStopped: boolean;
  /** The host is being shut down in order: its containers come back with it. */
  readonly hostShutdown: boolean;
}

/** Delay in ms before the next start, with the back-off step to remember, or null: it stays ended. */
export function nextRestart(policy: RestartPolicy, run: EndedRun): { readonly delayMs: number; readonly backoffStep: number } | null {
  if (run.manuallyStopped || !wants(policy, run)) return null;
  if (run.hostShutdown) return { delayMs: 0, backoffStep: 0 };
  const backoffStep = run.ranMs >= restartResetAfterMs ? 0 : Math.min(run.backoffStep + 1, 32);
  return { delayMs: Math.min(restartDelayFirstMs * 2 ** Math.max(0, backoffStep - 1), restartDelayMaxMs), backoffStep };
}

function wants(policy: RestartPolicy, run: EndedRun): boolean {
  switch (policy.name) {
    case 'no':
      return false;
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure':
      return run.exitCode !== 0 && (policy.maximumRetryCount === 0 || run.restartCount < policy.maximumRetryCount);
  }
}
