// Reading what stands in the log up to now: a subscription that ends at the head, turned into an iterator that is as slow as its reader.
import { LogUnavailable } from './errors.ts';
import type { FollowOptions, Identified, LogEntry, LogIdentity, ReadOptions, Subscription } from './event-log.ts';

export interface ReadByFollowing<M extends Identified> {
  readonly options: ReadOptions;
  readonly identity: () => Promise<LogIdentity>;
  readonly follow: (options: FollowOptions<M>) => Subscription;
}

/** Without a batch for this long the log is said to be unavailable. */
const stallMs = 15_000;

type Turn = { readonly batch: readonly LogEntry[]; readonly done: () => void } | { readonly end: Error | null };

export async function* readByFollowing<M extends Identified>({ options, identity, follow }: ReadByFollowing<M>): AsyncGenerator<readonly LogEntry[]> {
  const { fromSeq = 1, filter = '>', maxBatch = 1_000 } = options;
  const { streamId, lastSeq } = await identity();
  const untilSeq = Math.min(options.untilSeq ?? lastSeq, lastSeq);
  if (fromSeq > untilSeq) return;
  let turn = Promise.withResolvers<Turn>();
  const subscription = follow({
    filter,
    from: { seq: fromSeq },
    streamId,
    maxBatch,
    // The next batch comes when the reader asks for it.
    onEntries: (batch) => new Promise<void>((done) => turn.resolve({ batch, done })),
    onCaughtUp: () => turn.resolve({ end: null }),
    onFailed: (error) => turn.resolve({ end: error }),
  });
  let release = (): void => undefined;
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const stalled = new Promise<Turn>((resolve) => { timer = setTimeout(() => resolve({ end: new LogUnavailable(`nothing came from the log for ${stallMs} ms`) }), stallMs); });
      const next = await Promise.race([turn.promise, stalled]);
      clearTimeout(timer);
      if ('end' in next) {
        if (next.end !== null) throw next.end;
        return;
      }
      release = next.done;
      turn = Promise.withResolvers<Turn>();
      const wanted = next.batch.filter(({ seq }) => seq <= untilSeq);
      if (wanted.length > 0) yield wanted;
      if ((next.batch.at(-1)?.seq ?? 0) >= untilSeq) return;
      release();
    }
  } finally {
    const stopped = subscription.stop();
    release();
    await stopped;
  }
}
