// Tells the container how large the caller's terminal is, at first and whenever it changes. Sends through a callback.
import { setTimeout as delay } from 'node:timers/promises';

const attempts = 6;
const firstDelayMs = 10;

/**
 * `redraw`: first send a size that is wrong by one row, so that a program which was drawing before we came sees a change and draws again.
 * `send` may fail while the process is not there yet: it is tried again a few times.
 * One size is under way at a time, so that an older one never comes after a newer one. Runs until the returned function is called.
 */
export function followWindowSize(send: (rows: number, columns: number) => Promise<unknown>, redraw = false): () => void {
  const over = new AbortController();
  let wanted = true;
  let busy = false;
  const tell = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    for (let attempt = 1; wanted && !over.signal.aborted;) {
      const { rows, columns } = process.stdout;
      wanted = false;
      if (rows === undefined || columns === undefined || rows === 0 || columns === 0) break;
      try {
        await send(rows, columns);
        attempt = 1;
      } catch {
        // A wrong size is a blemish, not an error: after the last attempt the container keeps the size it has.
        if (attempt++ >= attempts) break;
        wanted = true;
        await delay(firstDelayMs * 2 ** attempt, undefined, { signal: over.signal }).catch(() => undefined);
      }
    }
    busy = false;
  };
  const changed = (): void => {
    wanted = true;
    void tell();
  };
  process.stdout.on('resize', changed);
  if (redraw && process.stdout.isTTY) send(process.stdout.rows + 1, process.stdout.columns).then(changed, changed);
  else void tell();
  return () => {
    over.abort();
    process.stdout.off('resize', changed);
  };
}
