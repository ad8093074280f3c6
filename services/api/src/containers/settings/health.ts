// Docker's HealthConfig to a health check and back. Pure. Source: Docker Engine API 1.43, HealthConfig: durations in nanoseconds, 0 is the default.
import type { DockerHealthcheck } from '@pouch/contracts';
import { minHealthMs, probeArgs, type HealthCheck } from '@pouch/domain';
import { badField } from '../../errors.ts';

const nanosPerMs = 1_000_000;
const kinds = ['NONE', 'CMD', 'CMD-SHELL'];
const durations = ['Interval', 'Timeout', 'StartPeriod'] as const;

/** Docker's merge: each member that says nothing is the image's. Null: nobody says what to run. */
export function mergedHealthCheck(image: HealthCheck | undefined, asked: DockerHealthcheck, field: string): HealthCheck | null {
  for (const name of durations) {
    const nanos = asked[name] ?? 0;
    if (nanos !== 0 && nanos < minHealthMs * nanosPerMs) throw badField(`${field}.${name}`, `it cannot be less than ${minHealthMs}ms, which is ${minHealthMs * nanosPerMs} ns; 0 is the default`);
  }
  const given = asked.Test !== undefined && asked.Test.length > 0 ? checkedTest(asked.Test, `${field}.Test`) : undefined;
  const test = given ?? image?.test;
  if (test === undefined) return null;
  const ms = (name: (typeof durations)[number], ofImage: number | undefined): number => (asked[name] ? asked[name] / nanosPerMs : (ofImage ?? 0));
  return {
    test, intervalMs: ms('Interval', image?.intervalMs), timeoutMs: ms('Timeout', image?.timeoutMs), startPeriodMs: ms('StartPeriod', image?.startPeriodMs),
    retries: asked.Retries || (image?.retries ?? 0),
  };
}

function checkedTest(test: readonly string[], field: string): readonly string[] {
  const [kind = ''] = test;
  if (!kinds.includes(kind)) throw badField(`${field}[0]`, `${JSON.stringify(kind.slice(0, 40))} must be NONE, CMD or CMD-SHELL`);
  if (kind !== 'NONE' && probeArgs({ test, intervalMs: 0, timeoutMs: 0, startPeriodMs: 0, retries: 0 }) === null) throw badField(field, `${kind} must be followed by what is to be run`);
  return test;
}

/** As inspect shows it; what is left to the default is left out, as Docker does. */
export function dockerHealthcheck({ test, intervalMs, timeoutMs, startPeriodMs, retries }: HealthCheck): DockerHealthcheck {
  const nanos = (name: string, ms: number): object => (ms === 0 ? {} : { [name]: Math.round(ms * nanosPerMs) });
  return { Test: [...test], ...nanos('Interval', intervalMs), ...nanos('Timeout', timeoutMs), ...nanos('StartPeriod', startPeriodMs), ...(retries === 0 ? {} : { Retries: retries }) };
}
