// The table of what each step does. It plans nothing.
import type { Container } from '@pouch/domain';
import { create } from '../containers/create.ts';
import { pause, signal, unpause } from '../containers/control.ts';
import { finish, lost } from '../containers/finish.ts';
import { remove, removeTraces } from '../containers/remove.ts';
import { adopt, clearRun, start } from '../containers/start.ts';
import type { Rooms } from '../rooms.ts';
import type { Step } from './plan.ts';

export type Executors = { readonly [T in Step['type']]: (rooms: Rooms, container: Container, step: Extract<Step, { type: T }>) => Promise<void> };

const executors: Executors = {
  'create': create,
  'start': start,
  'adopt': adopt,
  'finish': finish,
  'lost': lost,
  'discard': async (rooms, container) => {
    rooms.logger.warn({ containerId: container.id, status: container.status }, 'what stands for no state of the container is removed');
    await (container.status === 'removed' ? removeTraces(rooms, container.id) : clearRun(rooms, container));
  },
  'signal': signal,
  'pause': pause,
  'unpause': unpause,
  'cancel-restart': async ({ report }, { id }) => { void report(id, { type: 'ReportRestartCancelled' }); },
  'refuse': async ({ report }, { id }, { commandId, code, message }) => { void report(id, { type: 'ReportRequestFailed', commandId, code, message }); },
  'remove': remove,
};

export function execute<T extends Step['type']>(rooms: Rooms, container: Container, step: Extract<Step, { type: T }>): Promise<void> {
  return (executors[step.type as T] as Executors[T])(rooms, container, step);
}
