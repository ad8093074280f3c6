// A build of the projection beside the one that serves: how far it is, and how it ends. Takes nothing over by itself.
import type { RebuildProgress } from '@pouch/contracts';
import { OperatingError } from '@pouch/process';
import type { FromProjector } from './protocol.ts';
import type { ProjectorThread } from './thread.ts';

/** A file, its thread, and how far it has come. */
export interface Build {
  readonly file: string;
  thread: ProjectorThread;
  seq: number;
}

/** Another rebuild is under way. */
export class RebuildRunningError extends OperatingError {
  constructor() {
    super('conflict', 'the projection is being rebuilt already');
  }
}

const progressIntervalMs = 250;

export class Rebuild {
  readonly build: Build;
  /** The log's head at the start. */
  readonly targetSeq: number;
  readonly startedAtMs = Date.now();
  /** It has come to the log's end. */
  following = false;
  readonly #started = performance.now();
  readonly #end = Promise.withResolvers<{ readonly error: string | null }>();
  #messages = 0;

  constructor(build: Build, targetSeq: number) {
    this.build = build;
    this.targetSeq = targetSeq;
  }

  /** Takes what its thread says; answers why it cannot go on, or null. */
  heard(message: FromProjector): string | null {
    switch (message.type) {
      case 'committed':
        this.build.seq = message.seq;
        this.#messages += message.messages;
        return null;
      case 'following':
        this.following = true;
        return null;
      case 'log-unavailable':
        return message.error;
      case 'unusable':
        return message.reason;
      default:
        return null;
    }
  }

  done(): void {
    this.#end.resolve({ error: null });
  }

  failed(reason: string): void {
    this.#end.resolve({ error: reason });
  }

  /** A few times a second, until `done` or `failed` are told. */
  async *progress(): AsyncGenerator<RebuildProgress> {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const tick = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), progressIntervalMs)));
      const end = await Promise.race([this.#end.promise, tick]);
      clearTimeout(timer);
      if (end !== null) return void (yield this.#progress(end.error === null ? 'done' : 'failed', end.error));
      yield this.#progress('rebuilding', null);
    }
  }

  #progress(state: RebuildProgress['state'], error: string | null): RebuildProgress {
    const elapsedMs = performance.now() - this.#started;
    const messagesPerSecond = Math.round((this.#messages * 1_000) / Math.max(1, elapsedMs));
    return { state, seq: this.build.seq, targetSeq: this.targetSeq, messages: this.#messages, elapsedMs: Math.round(elapsedMs), messagesPerSecond, error };
  }
}
