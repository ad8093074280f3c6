// Tells the container how large the caller's terminal is, at first and whenever it changes. Sends through a callback.

const attempts = 6;
const firstDelayMs = 10;

/**
 * `redraw`: first send a size that is wrong by one row, so that a program which was drawing before we came sees a change and draws again.
 * `send` may fail while the process is not there yet: it is tried again a few times.
 * Runs until the returned function is called.
 */
export function followWindowSize(send: (rows: number, columns: number) => Promise<unknown>, redraw = false): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | null = null;
  const tell = (attempt: number) => {
    const { rows, columns } = process.stdout;
    if (stopped || rows === undefined || columns === undefined || rows === 0 || columns === 0) return;
    send(rows, columns).catch(() => {
      // A wrong size is a blemish, not an error: after the last attempt the container keeps the size it has.
      if (attempt < attempts && !stopped) timer = setTimeout(() => tell(attempt + 1), firstDelayMs * 2 ** attempt);
    });
  };
  const changed = () => {
    if (timer !== null) clearTimeout(timer);
    tell(1);
  };
  process.stdout.on('resize', changed);
  if (redraw && process.stdout.isTTY) {
    send(process.stdout.rows + 1, process.stdout.columns).then(changed, changed);
  } else tell(1);
  return () => {
    stopped = true;
    if (timer !== null) clearTimeout(timer);
    process.stdout.off('resize', changed);
  };
}
