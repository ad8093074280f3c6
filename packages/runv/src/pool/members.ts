// The members of a pool as files: finding, claiming and ending them, and the record of an image's uses. It starts nothing.
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../failure.ts';
import { isTemplatable, templateKey, type TemplatableMachine } from '../machine/template.ts';
import { memberPlaces, poolPlaces } from './places.ts';
import type { Use } from './size.ts';

export interface MemberRecord {
  /** Its scratch disk, to be renamed by the claim. */
  readonly scratch: string;
  readonly guestBytes: number;
  /** Images that it has open. */
  readonly layers: readonly string[];
}

const keyPattern = /^[0-9a-f]{32}$/;
const namePattern = /^[0-9a-f]{8}$/;
const unfinishedPattern = /^[0-9a-f]{8}(\.new)?$/;
const maxUses = 64;

/** What a claim must agree in: the machine without what is one container's, and the layers. */
export async function memberKey(machine: TemplatableMachine, root: Buffer): Promise<string> {
  const layers = machine.disks.filter(({ readOnly }) => readOnly).map(({ path }) => path);
  return createHash('sha256').update([await templateKey(machine), ...layers, root.toString('hex')].join('\0')).digest('hex').slice(0, 32);
}

/** Whether such a machine can come from the pool: its disks are kept layers and a scratch disk that nobody has written to, on the pool's own file system. */
export async function isPoolable(machine: TemplatableMachine, scratch: { readonly path: string; readonly isNew: boolean } | undefined, layerDir: string): Promise<boolean> {
  if (scratch?.isNew !== true || !isTemplatable(machine) || machine.singlePort === true) return false;
  if (!machine.disks.every(({ path, readOnly }) => !readOnly || dirname(path) === layerDir)) return false;
  const [layers, snapshot] = await Promise.all([layerDir, dirname(scratch.path)].map((path) => stat(path)));
  return layers?.dev === snapshot?.dev;
}

async function names(directory: string, pattern: RegExp): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).filter((name) => pattern.test(name)); // no directory: none has been made
}

/** Of the members that are ready. One that is claimed meanwhile is left out. */
export async function readyMembers(layerDir: string, key?: string): Promise<(MemberRecord & { readonly directory: string; readonly key: string })[]> {
  const { directory } = poolPlaces(layerDir);
  const keys = key === undefined ? await names(directory, keyPattern) : [key];
  const found = await Promise.all(keys.map(async (one) => (await names(join(directory, one), namePattern)).map((name) => ({ key: one, directory: join(directory, one, name) }))));
  const read = await Promise.all(found.flat().map(async (member) => {
    const record = await readRecord(member.directory);
    return record === undefined ? [] : [{ ...member, ...record }];
  }));
  return read.flat();
}

async function readRecord(directory: string): Promise<MemberRecord | undefined> {
  try {
    return JSON.parse(await readFile(memberPlaces(directory).recordPath, 'utf8')) as MemberRecord;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Makes a member the container's: its directory becomes `socketDir`, its scratch disk `scratchPath`. Of several who want it one gets it. False: there is none. */
export async function claimMember(layerDir: string, key: string, socketDir: string, scratchPath: string): Promise<boolean> {
  const directory = join(poolPlaces(layerDir).directory, key);
  const claimed = `${socketDir}.claimed`;
  for (const name of await names(directory, namePattern)) {
    try {
      await rename(join(directory, name), claimed);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) continue; // somebody else's by now
      throw error;
    }
    try {
      const record = await readRecord(claimed);
      if (record === undefined) throw new Error('the member has no record');
      await rename(record.scratch, scratchPath);
      await rm(socketDir, { recursive: true, force: true });
      await rename(claimed, socketDir);
      return true;
    } catch {
      await endMember(claimed); // the keeper sees that nobody comes, and takes its scratch disk away
    }
  }
  return false;
}

/** Ends a member that was renamed out of the pool: a connection that closes is the end of its QEMU. */
async function endMember(directory: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const connected = await new Promise<boolean>((settle) => {
      const socket = connect(memberPlaces(directory).keeperSocket, () => {
        socket.end();
        settle(true);
      });
      socket.on('error', () => settle(false));
    });
    if (!connected) break;
    await delay(10);
  }
  await rm(directory, { recursive: true, force: true });
}

/** Takes a directory out of the pool, so that nobody claims it, and ends what it is of. False: somebody was quicker. */
async function withdraw(directory: string): Promise<boolean> {
  const gone = `${directory}.gone`;
  try {
    await rename(directory, gone);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
  await endMember(gone);
  return true;
}

/** Ends the members that `isSurplus` says. Returns how many went. */
export async function sweepPool(layerDir: string, isSurplus: (member: MemberRecord) => Promise<boolean>): Promise<number> {
  let ended = 0;
  for (const member of await readyMembers(layerDir)) if ((await isSurplus(member)) && (await withdraw(member.directory))) ended++;
  return ended;
}

/** Ends everything that waits or is being made, and takes the pool's directories away. */
export async function endPool(layerDir: string): Promise<void> {
  const { directory, scratchDir } = poolPlaces(layerDir);
  for (const key of await names(directory, keyPattern)) for (const name of await names(join(directory, key), unfinishedPattern)) await withdraw(join(directory, key, name));
  for (const path of [directory, scratchDir]) await rm(path, { recursive: true, force: true });
}

const usesPath = (layerDir: string, key: string): string => join(poolPlaces(layerDir).directory, `${key}.uses`);

/** Notes that a machine of this key was started. */
export async function noteUse(layerDir: string, key: string, nowMs: number): Promise<void> {
  const path = usesPath(layerDir, key);
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await appendFile(path, `${nowMs}\n`, { mode: 0o600 });
}

/** The last uses of a key; the file is cut to them. */
export async function recentUses(layerDir: string, key: string): Promise<Use[]> {
  const path = usesPath(layerDir, key);
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => /^\d+$/.test(line)); // no file: no use
  if (lines.length > 2 * maxUses) {
    await writeFile(`${path}.new`, `${lines.slice(-maxUses).join('\n')}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path); // a use that is noted in this very moment is lost, which costs a little speed
  }
  return lines.slice(-maxUses).map((line) => ({ atMs: Number(line) }));
}
