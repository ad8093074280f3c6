// The file of what signs for a cluster: the keys of its members and the authority of its servers' certificates. Made once; every machine that founds the
// cluster has the same one. Whoever reads it can be anybody in the cluster.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeClusterKeys, signTrust, type ClusterKeys, type ServerTrust } from './authority.ts';
import { makeAuthority, type Pair } from './certificates.ts';
import { writeWhole } from './write-whole.ts';

export interface Authority {
  readonly v: 1;
  readonly keys: ClusterKeys;
  /** As it was first signed: what servers have learned since (revocations) is newer, and is not undone by a restart with this. */
  readonly trust: ServerTrust;
  /** Of NATS servers only. The API's certificates are of another authority: a client of the API must not pass for a server. */
  readonly certificates: Pair;
}

const authorityDays = 3_650;

/** Null: there is none. Throws where it cannot be read or is something else; its text is never part of the message. */
export async function readAuthority(file: string): Promise<Authority | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const wrong = new Error(`${file} is not the file of a cluster's authority (version 1): put back the one that was made with the cluster`);
  let value: Partial<Authority>;
  try {
    value = JSON.parse(text) as Partial<Authority>;
  } catch {
    throw wrong;
  }
  if (value.v !== 1 || value.keys === undefined || value.trust === undefined || value.certificates === undefined) throw wrong;
  return value as Authority;
}

/** Reads it, or makes it where there is none. */
export async function provideAuthority(file: string, nowMs: number): Promise<Authority> {
  const there = await readAuthority(file);
  if (there !== null) return there;
  const keys = makeClusterKeys();
  const made: Authority = { v: 1, keys, trust: await signTrust(keys), certificates: await makeAuthority(`Pouch NATS CA ${new Date(nowMs).toISOString().slice(0, 10)}`, authorityDays, nowMs) };
  await mkdir(dirname(file), { recursive: true });
  await writeWhole(file, `${JSON.stringify(made, null, 2)}\n`, 0o600);
  return made;
}
