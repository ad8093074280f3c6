// Rounds of several sides by turns, and the few numbers that are told of them. Pure but for the clock.

export const round2 = (value: number): number => Math.round(value * 100) / 100;
export const round3 = (value: number): number => Math.round(value * 1_000) / 1_000;

/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

/** What is told of samples in milliseconds. */
export function summary(samples: readonly number[]): { readonly min: number; readonly p50: number; readonly p99: number; readonly samples: number } {
  return { min: round2(Math.min(...samples)), p50: round2(median(samples)), p99: round2(quantile(samples, 0.99)), samples: samples.length };
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

/** One side of a comparison: what it is called and one round of its work. The steps it answers are milliseconds by name. */
export type Side = {
  readonly name: string;
  readonly round: () => Promise<Readonly<Record<string, number>>>;
};

/** Samples by side, then by step. */
export type Samples = ReadonlyMap<string, ReadonlyMap<string, number[]>>;

/**
 * Rounds by turns, A B C then B C A and so on, so that what else happens on the machine falls on all of them alike; `warmUp` rounds of each are
 * not counted.
 */
export async function byTurns(sides: readonly Side[], { rounds, warmUp, onRound }: { readonly rounds: number; readonly warmUp: number; readonly onRound?: (round: number) => void }): Promise<Samples> {
  const samples = new Map(sides.map(({ name }) => [name, new Map<string, number[]>()]));
  for (let round = -warmUp; round < rounds; round++) {
    onRound?.(round);
    const first = ((round % sides.length) + sides.length) % sides.length;
    for (const { name, round: work } of [...sides.slice(first), ...sides.slice(0, first)]) {
      const steps = await work();
      if (round < 0) continue;
      const of = samples.get(name)!;
      for (const [step, ms] of Object.entries(steps)) of.set(step, [...(of.get(step) ?? []), ms]);
    }
  }
  return samples;
}

/** One side's figure against another's: ratio of medians and of minima; undefined where one of them was not measured. */
export function ratio(samples: Samples, step: string, side: string, against: string): { readonly p50: number; readonly min: number } | undefined {
  const [own, other] = [samples.get(side)?.get(step), samples.get(against)?.get(step)];
  if (own === undefined || other === undefined) return undefined;
  return { p50: round3(median(own) / median(other)), min: round3(Math.min(...own) / Math.min(...other)) };
}
