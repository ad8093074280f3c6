// What the projector's thread and the main thread say to each other. Plain data only.
import type { Message } from '@pouch/contracts';
import type { EventLogOptions } from '@pouch/eventlog';
import type { LogLevel } from '@pouch/process';
import type { Retention } from '@pouch/projections';

/** How the thread reaches the log: the same settings as every other process's, for whoever opens the log brings the stream in line with its own. */
export type LogAddress = Omit<EventLogOptions<Message>, 'link' | 'logger' | 'clock' | 'check' | 'name'>;

export interface ProjectorSettings {
  readonly file: string;
  readonly log: LogAddress;
  readonly retention: Retention;
  readonly logLevel: LogLevel;
  /** The file is not in use before it has caught up: until then it is written without waiting for the disk. */
  readonly aside: boolean;
}

export type FromProjector =
  /** A batch is committed. `subjects`: those with messages in it; null when there are too many to tell: look at everything. `statuses`: see Applied. */
  | { readonly type: 'committed'; readonly seq: number; readonly messages: number; readonly subjects: readonly string[] | null; readonly statuses: readonly (string | null)[] }
  /** `logSeq`: head of the log when last seen. */
  | { readonly type: 'following'; readonly logSeq: number }
  | { readonly type: 'catching-up'; readonly logSeq: number }
  | { readonly type: 'log-unavailable'; readonly error: string }
  | { readonly type: 'counted'; readonly malformed: number; readonly unknown: number }
  | { readonly type: 'malformed'; readonly seq: number; readonly subject: string; readonly reason: string }
  | { readonly type: 'pruned'; readonly deleted: number }
  /** The file is not a projection of this log, or is damaged; the thread ends. It is to be built again in a new file. */
  | { readonly type: 'unusable'; readonly reason: string };

export type ToProjector = { readonly type: 'stop' };

/** More subjects than this are told as null while catching up. A live batch is told whole, for many may wait for it; it has a thousand messages at most. */
export const maxToldSubjects = 512;
