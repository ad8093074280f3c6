// Signals by name or number, Linux on x86-64. Pure.
import { constants } from 'node:os';
import { Failure } from './failure.ts';

/** `15`, `TERM`, `SIGTERM`, `RTMIN+3`. Throws `usage`. */
export function parseSignal(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : undefined;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RTM(IN|AX)([+-]\d+)?$/.exec(name);
  const found = number ?? (realtime === null ? constants.signals[`SIG${name}` as NodeJS.Signals] : (realtime[1] === 'IN' ? 34 : 64) + Number(realtime[2] ?? 0));
  if (found === undefined || found < 0 || found > 64) throw new Failure('usage', `unknown signal ${JSON.stringify(text)}`);
  return found;
}
