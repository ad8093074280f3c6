// `pouch events`: Docker's stream of events, past and live.
import type { Context } from '../context.ts';
import type { EngineEvent } from '../engine/shapes.ts';
import { toTemplate } from '../format/template.ts';
import { rfc3339Nano, toUnixTime } from '../format/times.ts';
import { filtersParameter, toFilters } from './filters.ts';

export interface EventsFlags {
  readonly since?: string;
  readonly until?: string;
  readonly filter?: readonly string[];
  readonly format?: string;
}

export async function events(context: Context, flags: EventsFlags): Promise<number> {
  const print = flags.format === undefined ? eventLine : flags.format === 'json' ? (event: EngineEvent) => JSON.stringify(event) : toTemplate(flags.format);
  const now = Date.now();
  const query = {
    since: flags.since === undefined ? undefined : toUnixTime('--since', flags.since, now),
    until: flags.until === undefined ? undefined : toUnixTime('--until', flags.until, now),
    filters: filtersParameter(toFilters(flags.filter)),
  };
  const client = await context.client();
  for await (const event of client.lines<EngineEvent>('GET', '/events', { query })) process.stdout.write(`${print(event)}\n`);
  return 0;
}

/** `2026-01-31T12:00:00.123456789Z container start <id> (image=busybox, name=hypervisor)`. `timeNano` is beyond a double: the seconds are exact, its tail is rounded. */
export function eventLine(event: EngineEvent): string {
  const nanos = event.timeNano === undefined ? BigInt(event.time ?? 0) * 1_000_000_000n : BigInt(event.timeNano);
  const attributes = Object.entries(event.Actor?.Attributes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`);
  const what = [event.Type, event.Action, event.Actor?.ID ?? ''].filter((part) => part !== '').join(' ');
  return `${rfc3339Nano(nanos)} ${what}${attributes.length === 0 ? '' : ` (${attributes.join(', ')})`}`;
}
