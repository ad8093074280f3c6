// runv resume: the virtual processors go on, and the guest is told what time it is.
import { randomBytes } from 'node:crypto';
import { idOf, parseArguments } from '../arguments.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { Qmp } from '../machine/qmp.ts';
import { MonitorClient } from '../monitor-client.ts';
import { placesOf } from '../places.ts';
import { op } from '../protocol/ops.ts';
import { u32, u64 } from '../protocol/records.ts';
import { readState, statusOf, writeState } from '../state.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const state = readState(root, idOf(parseArguments(args, {}), 'resume'));
  if (statusOf(root, state) !== 'paused') throw new Failure('wrong-state', 'container not paused');
  const places = placesOf(root, state.id);
  const qmp = await Qmp.connect(places.qmpPath);
  try {
    await qmp.cont();
    writeState(root, { ...state, paused: false });
  } finally {
    qmp.close();
  }
  const client = await MonitorClient.connect(places.monitorSocket);
  if (client === undefined) return 0; // it ended at once
  try {
    await client.ask([{ op: op.clock, payload: Buffer.concat([u64(BigInt(Date.now()) * 1_000_000n), randomBytes(32)]) }, { op: op.ping, payload: u32(1) }], op.pong);
  } finally {
    client.close();
  }
  return 0;
}
