// `pouch cluster restore`: checks a backup wholly, and puts it into NATS servers that have no log. It runs where the cluster's authority is and asks no api: there is none yet.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inboxPrefix } from '@pouch/contracts';
import { checkBackup, restoreBackup, type CheckedBackup } from '@pouch/eventlog/backup';
import { credentialsFile, makeMemberKey, natsAddresses, readAuthority, signMember, type Authority } from '@pouch/membership';
import { createLogger } from '@pouch/process';
import { CliError } from '../errors.ts';
import { humanSize } from '../format/sizes.ts';
import { ByteBar } from '../progress/byte-bar.ts';

export interface RestoreFlags {
  readonly check?: boolean;
  readonly authority: string;
  readonly nats: string;
  readonly quiet?: boolean;
}

/** What it takes to restore a large log, and no more. */
const credentialsMs = 3_600_000;

export async function restore(file: string, flags: RestoreFlags): Promise<number> {
  const bar = new ByteBar('Checking', flags.quiet === true);
  const backup = await checkBackup(file, (done, total) => bar.show(done, total)).catch((error: unknown) => { throw wrongFile(file, error); }).finally(() => bar.end());
  if (flags.check === true) {
    process.stdout.write(`${file} is whole: ${told(backup)}\n`);
    return 0;
  }
  const authority = await readAuthority(flags.authority);
  if (authority === null) throw new CliError(`${flags.authority} is not there`, { hint: 'restore on a machine that founds the cluster, with its own authority.json put back first, or name it with --authority' });
  await restoreAs(authority, backup, flags);
  process.stdout.write(`Restored ${told(backup)}.
Now start api and scheduler, on all machines that found the cluster: npm run restart
secrets.key must be the one that the secrets were sealed with. Containers that were made after the backup run on; the log does not know them, and
\`pouch cluster hosts\` tells how many there are.
`);
  return 0;
}

async function restoreAs(authority: Authority, backup: CheckedBackup, flags: RestoreFlags): Promise<void> {
  const bar = new ByteBar('Restoring', flags.quiet === true);
  const role = { kind: 'restorer' } as const;
  const nowMs = Date.now();
  const { seed, publicKey } = makeMemberKey();
  const directory = await mkdtemp(join(tmpdir(), 'pouch-restore-'));
  try {
    const [credentials, caFile] = [join(directory, 'restorer.creds'), join(directory, 'ca.pem')];
    await writeFile(credentials, credentialsFile(await signMember(authority.keys, { publicKey, role, expiresAtMs: nowMs + credentialsMs }), seed), { mode: 0o600 });
    await writeFile(caFile, authority.certificates.cert);
    await restoreBackup({
      backup, nowMs, logger: createLogger({ service: 'pouch', level: 'silent' }), onProgress: (done, total) => bar.show(done, total),
      address: { servers: natsAddresses(flags.nats), credentialsFile: credentials, caFile, inboxPrefix: inboxPrefix(role) },
    });
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'log-is-there') throw error;
    throw new CliError((error as Error).message, { hint: 'npm run restart -- --for-restore, on every machine that founds the cluster, sets it aside', cause: error });
  } finally {
    bar.end();
    await rm(directory, { recursive: true, force: true });
  }
}

function told({ manifest, bytes }: CheckedBackup): string {
  const log = manifest.streams.find(({ name }) => name === 'EVT');
  return `${humanSize(bytes)} saved at ${new Date(manifest.madeAtMs).toISOString()}, the log with ${log?.messages ?? 0} messages up to sequence ${log?.lastSeq ?? 0}`;
}

function wrongFile(file: string, error: unknown): unknown {
  return (error as { code?: unknown }).code === 'bad-backup' ? new CliError(`${file} cannot be restored: ${(error as Error).message}`, { hint: 'nothing was changed', cause: error }) : error;
}
