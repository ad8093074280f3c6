// `npm run simulate -- [--seeds N] [--from SEED] [--seed SEED]`: runs simulated clusters and tells of the first seed that breaks a rule, with what
// happened last and how to run it again.
import { parseArgs } from 'node:util';
import { simulate, type Outcome } from './simulate.ts';

/** The rule stands first, for who keeps only a beginning, and again below the trace, where a terminal ends. */
export function explain({ seed, violation, trace, digest }: Outcome): string {
  const broken = `seed ${seed} broke a rule: ${violation}`;
  return [broken, '', ...trace, '', broken, `again: npm run simulate -- --seed ${seed}    (digest ${digest})`].join('\n');
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seeds: { type: 'string', default: '1000' }, from: { type: 'string', default: '1' }, seed: { type: 'string' } } });
  const first = Number(values.seed ?? values.from);
  const count = values.seed === undefined ? Number(values.seeds) : 1;
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) throw new Error('--seeds, --from and --seed take whole numbers, e.g. npm run simulate -- --seeds 1000 --from 1');
  const began = process.hrtime.bigint();
  let messages = 0;
  let simulatedMs = 0;
  let broken = 0;
  for (let seed = first; seed < first + count; seed++) {
    const outcome = await simulate(seed);
    messages += outcome.messages;
    simulatedMs += outcome.simulatedMs;
    if (outcome.violation === null) continue;
    process.stdout.write(`${explain(outcome)}\n`);
    broken++;
    break;
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  if (broken === 0) process.stdout.write(`${count} seeds from ${first}: every rule held; ${messages} messages, ${Math.round(simulatedMs / 1_000)} simulated seconds in ${seconds.toFixed(1)} s, ${Math.round((count / seconds) * 60)} seeds a minute\n`);
  process.exitCode = broken === 0 ? 0 : 1;
}
