// `npm run bench -- NAME [--rounds N] [--part NAME] [--hosts N] [--containers N] [--profile DIR]`: runs one benchmark (of vm and scale also one part); one JSON line per
// figure on stdout, progress on stderr. Hosts and containers are scale's, containers also the idle machines of vm; --profile leaves CPU profiles of the services that scale starts.
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

export type BenchOptions = { readonly rounds: number | undefined; readonly part: string | undefined; readonly hosts: number | undefined; readonly containers: number | undefined };
export type Benchmark = (session: Session, options: BenchOptions) => Promise<void>;

const benchmarks: Readonly<Record<string, Benchmark>> = { lifecycle, exec, burst, log, idle, vm, kernels, scale };

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: 'string' }, part: { type: 'string' }, hosts: { type: 'string' }, containers: { type: 'string' }, profile: { type: 'string' } } });
  const names = positionals.includes('all') ? Object.keys(benchmarks) : positionals;
  const [rounds, hosts, containers] = [countOf(values.rounds, 10_000), countOf(values.hosts, 10_000), countOf(values.containers, 5_000_000)];
  if (names.length === 0 || names.some((name) => !Object.hasOwn(benchmarks, name)) || rounds === null || hosts === null || containers === null) {
    process.stderr.write(`usage: npm run bench -- NAME… [--rounds N] [--part NAME] [--hosts N] [--containers N] [--profile DIR]\nNAME is ${Object.keys(benchmarks).join(', ')} or all\n`);
    return 64;
  }
  for (const name of names) {
    const session = new Session(name, values.profile);
    try {
      await benchmarks[name]!(session, { rounds, part: values.part, hosts, containers });
    } finally {
      await session.end();
    }
  }
  return 0;
}

/** A number from 1 to `most`; undefined: none was given; null: it is none. */
function countOf(text: string | undefined, most: number): number | undefined | null {
  if (text === undefined) return undefined;
  const value = Number(text);
  return Number.isInteger(value) && value > 0 && value <= most ? value : null;
}

process.exitCode = await main();
