// Signal names and numbers, the real-time ones included, which Node does not know.
import { constants } from 'node:os';

const realTimeMin = 34;
const realTimeMax = 64;

/** Number of `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; null: there is no such signal. */
export function signalNumber(name: string): number | null {
  const bare = name.toUpperCase().replace(/^SIG/, '');
  if (/^\d+$/.test(bare)) return inRange(Number(bare));
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(bare);
  if (realTime !== null) {
    const base = realTime[1] === 'MIN' ? realTimeMin : realTimeMax;
    return inRange(base + Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`));
  }
  return (constants.signals as Record<string, number | undefined>)[`SIG${bare}`] ?? null;
}

function inRange(number: number): number | null {
  return number >= 1 && number <= realTimeMax ? number : null;
}
