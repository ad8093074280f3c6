// runv files read|write ID: the container's files, read or written by the guest itself, since nobody else reads its disk. Frames of packages/native/c/files/files.h
// over stdin and stdout. An addition to the OCI's verbs.
import { parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { placesOf } from '../places.ts';
import { becomeProcessMonitor } from '../process-monitor.ts';
import { filesPayload } from '../spec-to-guest.ts';
import { readState, statusOf } from '../state.ts';

export function run(args: readonly string[], { root, log, logFormat }: Globals): number {
  const [way, id, ...more] = parseArguments(args, {}).rest;
  if ((way !== 'read' && way !== 'write') || id === undefined || more.length > 0) throw new Failure('usage', '"runv files" requires read or write and a container id');
  const state = readState(root, id);
  const status = statusOf(root, state);
  if (status !== 'running') throw new Failure('wrong-state', `files of a ${status} container cannot be reached: its guest does not run`);
  return becomeProcessMonitor({ log, logFormat }, placesOf(root, id), state, filesPayload(way === 'write'), [['detach', 0], ['not-found', 'the guest has no such service']]);
}
