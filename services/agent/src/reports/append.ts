// Turns reports into messages of the log: decided against the newest state known, decided again where somebody else was faster.
import { messageVersion, type Message } from '@pouch/contracts';
import { decideContainer, decideExec, fold, type Container, type ContainerEvent, type Exec, type ExecEvent } from '@pouch/domain';
import { ConflictError, LogUnavailable, type EventLog } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import type { Batch, Report } from './outbox.ts';

/** Rounds of deciding again before the reports wait: contention on one container is a handful of writers at most. */
const maxConflicts = 16;

type State = Container | Exec;
type Event = ContainerEvent | ExecEvent;

/** An aggregate as it stands in the log. */
interface Head {
  readonly seq: number;
  readonly id: string | null;
  readonly snapshot: State | null;
}

export interface AppenderOptions {
  readonly log: EventLog<Message>;
  readonly logger: Logger;
  readonly now: () => number;
  /** What is known of a subject without asking; null: the log is asked. */
  readonly guess: (subject: string) => { readonly seq: number; readonly snapshot: State } | null;
  /** Whether the log is followed at its head. */
  readonly current: () => boolean;
  /** What stands in the log now. */
  readonly learned: (subject: string, seq: number, snapshot: State) => void;
}

/** Makes the outbox's `append`: the sequence after which the reports are told, or null when none of them was news. */
export function appender({ log, logger, now, guess, current, learned }: AppenderOptions): (batch: Batch) => Promise<number | null> {
  const load = async (subject: string): Promise<Head> => {
    const last = await log.last(subject);
    if (last === null) return { seq: 0, id: null, snapshot: null };
    const snapshot = last.message.snapshot as State;
    learned(subject, last.seq, snapshot);
    return { seq: last.seq, id: last.message.id, snapshot };
  };
  return async (batch) => {
    const { subject, id } = batch;
    const guessed = guess(subject);
    let head: Head = guessed === null ? await load(subject) : { ...guessed, id: null };
    for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
      if (head.id === id) return head.seq; // an earlier try went through
      const { events, snapshot } = decide(head.snapshot, batch, logger);
      if (events.length === 0 || snapshot === null) {
        // What is not appended is not checked by the log: any replica may have answered, also one that is behind.
        if (!current()) throw new LogUnavailable(`${subject}: whether this is news is only known when the log has been read`);
        // Not even a container to speak of: the log has lost it, or removed it long ago.
        return head.snapshot === null ? null : head.seq;
      }
      const message: Message = {
        v: messageVersion, id, kind: batch.kind, events: events as Message['events'], snapshot: snapshot as Message['snapshot'],
        meta: { atMs: now(), service: 'agent', actor: 'agent', cause: causeOf(batch.reports) },
      };
      try {
        const { seq, duplicate } = await log.append({ subject, message, expectedSeq: head.seq });
        if (duplicate) await load(subject); // what was appended then was decided on another state
        else learned(subject, seq, snapshot);
        return seq;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        head = await load(subject);
      }
    }
    throw new LogUnavailable(`${subject} was changed by others ${maxConflicts} times in a row`);
  };
}

function decide(state: State | null, { reports, kind }: Batch, logger: Logger): { events: Event[]; snapshot: State | null } {
  const events: Event[] = [];
  let snapshot = state;
  for (const report of reports) {
    const decision = report.kind === 'container' ? decideContainer(snapshot as Container | null, report.command, report.atMs) : decideExec(snapshot as Exec | null, report.command, report.atMs);
    if (!decision.ok) {
      logger.info({ subject: report.subject, report: report.command.type, refusal: decision.refusal }, 'a report was no news any more');
      continue;
    }
    snapshot = fold(kind, snapshot as never, decision.events as never) as State | null;
    events.push(...decision.events);
  }
  return { events, snapshot };
}

/** The request that led to the first report that has one. */
function causeOf(reports: readonly Report[]): string | null {
  for (const { command } of reports) {
    if ('commandId' in command) return command.commandId;
    if (command.type === 'ReportStarted') return command.run.startId;
    if (command.type === 'ReportStartFailed') return command.startId;
  }
  return null;
}
