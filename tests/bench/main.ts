// `npm run bench -- NAME [--rounds N] [--part NAME]`: runs one benchmark (of vm also one part); one JSON line per figure on stdout, progress on stderr.
// It measures and tells; whether a goal is met fails nothing. Everything it starts is its own and is gone at the end, also after SIGINT.
import { parseArgs } from 'node:util';
import { burst } from './burst.ts';
import { exec } from './exec.ts';
import { idle } from './idle.ts';
import { lifecycle } from './lifecycle.ts';
import { log } from './log/log.ts';
import { scale } from './scale/scale.ts';
import { Session } from './session.ts';
import { kernels } from './vm/kernels.ts';
import { vm } from './vm/vm.ts';

export type Benchmark = (session: Session, options: { readonly rounds: number | undefined; readonly part: string | undefined }) => Promise<void>;

const benchmarks: Readonly<Record<string, Benchmark>> = { lifecycle, exec, burst, log, idle, vm, kernels, scale };

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: 'string' }, part: { type: 'string' } } });
  const names = positionals.includes('all') ? Object.keys(benchmarks) : positionals;
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (names.length === 0 || names.some((name) => !Object.hasOwn(benchmarks, name)) || (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0 && rounds <= 10_000))) {
    process.stderr.write(`usage: npm run bench -- NAME… [--rounds N] [--part NAME]\nNAME is ${Object.keys(benchmarks).join(', ')} or all\n`);
    return 64;
  }
  for (const name of names) {
    const session = new Session(name);
    try {
      await benchmarks[name]!(session, { rounds, part: values.part });
    } finally {
      await session.end();
    }
  }
  return 0;
}

process.exitCode = await main();
