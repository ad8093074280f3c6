// `pouch cluster certs`: a directory with a certificate authority, the api's certificate and those of clients, under the names that docker expects.
// Works without a cluster. What is there already stays: the authority is used again, other files are only replaced with --force.
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { makeAuthority, makeCertificate, type Pair, type Purpose } from '@pouch/membership/certificates';
import { writeWhole } from '@pouch/membership/write-whole';
import { CliError, UsageError } from '../errors.ts';

export interface CertsFlags {
  readonly server?: readonly string[];
  readonly client?: readonly string[];
  readonly days?: string;
  readonly force?: boolean;
}

const roles = ['read', 'operate', 'admin'];
const authorityDays = 3_650;

export async function certs(directory: string, flags: CertsFlags): Promise<number> {
  const days = wholeDays(flags.days ?? '365');
  const nowMs = Date.now();
  const plain = flags.server === undefined && flags.client === undefined;
  const clients = (flags.client ?? (plain ? ['admin:admin'] : [])).map(clientOf);
  const names = flags.server ?? (plain ? [hostname(), 'localhost', '127.0.0.1', '::1'] : []);
  const wrong = names.find((name) => !/^[A-Za-z0-9._:*-]{1,253}$/.test(name));
  if (wrong !== undefined) throw new UsageError(`--server ${wrong}: it must be a name or an address of the api`);
  const root = resolve(directory);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const authority = await authorityIn(root, nowMs);
  const made: string[] = [];
  const make = async (folder: string, files: { readonly cert: string; readonly key: string }, purpose: Purpose): Promise<void> => {
    const target = join(folder, files.cert);
    if (existsSync(target) && flags.force !== true) throw new CliError(`${target} is there already`, { hint: '--force replaces it; the api takes the new one without a restart' });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const pair = await makeCertificate(authority, purpose, days, nowMs);
    await writeWhole(join(folder, files.key), pair.key, 0o600);
    await writeWhole(target, pair.cert, 0o644);
    if (purpose.kind === 'client') await writeWhole(join(folder, 'ca.pem'), authority.cert, 0o644);
    made.push(folder);
  };
  if (names.length > 0) await make(root, { cert: 'server-cert.pem', key: 'server-key.pem' }, { kind: 'server', names });
  for (const { name, role } of clients) await make(join(root, `client-${name}`), { cert: 'cert.pem', key: 'key.pem' }, { kind: 'client', name, role });
  if (names.length > 0) process.stdout.write(`For the api:  POUCH_TLS_CA=${join(root, 'ca.pem')} POUCH_TLS_CERT=${join(root, 'server-cert.pem')} POUCH_TLS_KEY=${join(root, 'server-key.pem')}\n`);
  for (const { name, role } of clients) process.stdout.write(`For ${name} (${role}):  DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=${join(root, `client-${name}`)}, or POUCH_CERT_PATH with pouch\n`);
  process.stderr.write(`Keep ${join(root, 'ca-key.pem')} to yourself: whoever has it can make an administrator.\n`);
  return 0;
}

function clientOf(text: string): { name: string; role: string } {
  const [name = '', role = 'read', ...rest] = text.split(':');
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(name) || rest.length > 0) throw new UsageError(`--client ${text}: it must be name:role, the name of letters, digits and . _ @ -`);
  if (!roles.includes(role)) throw new UsageError(`--client ${text}: the role must be ${roles.slice(0, -1).join(', ')} or admin`);
  return { name, role };
}

function wholeDays(text: string): number {
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > authorityDays) throw new UsageError(`--days ${text}: it must be a whole number from 1 to ${authorityDays}`);
  return days;
}

async function authorityIn(root: string, nowMs: number): Promise<Pair> {
  const [certFile, keyFile] = [join(root, 'ca.pem'), join(root, 'ca-key.pem')];
  if (existsSync(certFile) !== existsSync(keyFile)) throw new CliError(`${root} has only one of ca.pem and ca-key.pem: both are needed to sign, or neither to begin anew`);
  if (existsSync(certFile)) return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  const authority = await makeAuthority(`Pouch CA ${new Date(nowMs).toISOString().slice(0, 10)}`, authorityDays, nowMs);
  await writeWhole(keyFile, authority.key, 0o600);
  await writeWhole(certFile, authority.cert, 0o644);
  return authority;
}
