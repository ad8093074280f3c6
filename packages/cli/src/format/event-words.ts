// What a person wants to know of an event beside its type, in a few words. By the members that events have, not by their types: those of later versions have them, too.
import type { ClusterEvent } from '@pouch/contracts';
import { shortened, visible } from './table.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A reason may be long, and a line is for one event. */
const maxLength = 200;

/** `ContainerExited (exit 137)`; the type alone where nothing is to add. */
export function eventWords(event: ClusterEvent['events'][number]): string {
  const details = detailsOf(event as unknown as Fields).map(visible).join(', ');
  if (details === '') return event.type;
  return `${event.type} (${shortened(details, maxLength)})`;
}

function detailsOf({ action, exit, exitCode, hostId, signal, newName, message, why, refusals, type }: Fields): string[] {
  const { kind } = fields(action);
  const code = exitCode ?? fields(exit)['exitCode'];
  const { reason } = fields(Array.isArray(refusals) ? refusals[0] : undefined);
  return [
    text(kind),
    typeof code === 'number' ? `exit ${code}` : null,
    type === 'ContainerPlaced' || type === 'PlacementRejected' ? text(hostId) : null,
    text(signal ?? fields(action)['signal']),
    text(newName),
    text(message),
    text(why),
    text(reason),
    Array.isArray(refusals) && refusals.length > 1 ? `and ${refusals.length - 1} more` : null,
  ].filter((one) => one !== null);
}

const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
