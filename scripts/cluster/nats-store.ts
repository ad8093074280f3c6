// Where nats-server keeps its streams: a directory per account. It must only be touched while no server runs on it.
import { access, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** The account of servers that know none. */
const noAccount = '$G';

const there = async (path: string): Promise<boolean> => await access(path).then(() => true, () => false);

/** What a server of an earlier version, which knew no accounts, has kept goes to the cluster's account. Nothing to take over is no error; nothing is ever replaced. */
export async function adoptStore(storeDir: string, account: string): Promise<void> {
  const [before, now] = [join(storeDir, 'jetstream', noAccount), join(storeDir, 'jetstream', account)];
  if (await there(before) && !(await there(now))) await rename(before, now);
}

/**
 * Puts a log aside, so that a backup can be restored in its place; whose keys are void stays as it is. Answers where it is kept from now on; null: there was none.
 * `name`: of its new directory.
 */
export async function setStoreAside(storeDir: string, name: string): Promise<string | null> {
  const root = join(storeDir, 'jetstream');
  if (!(await there(root))) return null;
  const aside = join(storeDir, name);
  await rename(root, aside);
  return aside;
}

/**
 * Why this many servers must not be started on what is kept there; null: they may. A lone nats-server keeps no books of a cluster: as one of several it takes its
 * own streams for leftovers and removes them (seen with 2.10.27), and the other way round they are no use without their peers.
 */
export async function storeConflict(storeDir: string, servers: number): Promise<string | null> {
  const root = join(storeDir, 'jetstream');
  const accounts = await readdir(root).catch(() => []); // nothing is kept yet
  const has = async (...parts: readonly string[]): Promise<boolean> => (await Promise.all(accounts.map(async (account) => await there(join(root, account, ...parts))))).includes(true);
  if (!(await has('streams', 'EVT'))) return null;
  const ofSeveral = await has('_js_', '_meta_');
  if (ofSeveral === servers > 1) return null;
  return ofSeveral
    ? `the log in ${storeDir} is kept by several NATS servers, and would be lost with one alone: start it with --address and --servers as before`
    : `the log in ${storeDir} was begun by one NATS server alone, and would be lost as soon as it is one of ${servers}: leave --servers away, or begin a new cluster in another directory (--data)`;
}
