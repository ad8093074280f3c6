// Where nats-server keeps its streams: a directory per account. It must only be touched while no server runs on it.
import { access, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** The account of servers that know none. */
const noAccount = '$G';

const there = async (path: string): Promise<boolean> => await access(path).then(() => true, () => false);

/** What a server of an earlier version, which knew no accounts, has kept goes to the cluster's account. Nothing to take over is no error; nothing is ever replaced. */
export async function adoptStore(storeDir: string, account: string): Promise<void> {
  const [before, now] = [join(storeDir, 'jetstream', noAccount), join(storeDir, 'jetstream', account)];
  if (await there(before) && !(await there(now))) await rename(before, now);
}
