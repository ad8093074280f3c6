// Names of signals as clients write them (`TERM`, `SIGTERM`, `15`, `SIGRTMIN+3`) and the one spelling the log keeps. Sends none.
import { constants } from 'node:os';

const numbers = new Map<string, number>(Object.entries(constants.signals));
const realtimeFirst = 34;
const realtimeLast = 64;

const names = new Map<number, string>();
for (const [name, number] of numbers) if (!names.has(number)) names.set(number, name);

/** `SIGTERM`, `SIGRTMIN+3`; null if it is no signal of Linux. */
export function signalName(text: string): string | null {
  if (/^\d{1,3}$/.test(text)) return nameOf(Number(text));
  const upper = text.toUpperCase();
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  if (numbers.has(full)) return nameOf(numbers.get(full) ?? 0);
  const realtime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(full);
  if (realtime === null) return null;
  const offset = Number(realtime[3] ?? 0) * (realtime[2] === '-' ? -1 : 1);
  return nameOf((realtime[1] === 'MIN' ? realtimeFirst : realtimeLast) + offset);
}

function nameOf(number: number): string | null {
  if (number >= realtimeFirst && number <= realtimeLast) return number === realtimeFirst ? 'SIGRTMIN' : number === realtimeLast ? 'SIGRTMAX' : `SIGRTMIN+${number - realtimeFirst}`;
  return names.get(number) ?? null;
}
