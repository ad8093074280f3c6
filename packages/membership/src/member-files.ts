// The directory of what one machine shows to NATS, and trusts: credentials of its processes, the certificate of its server, the authority's certificate.
// What fits is left as it is; the rest is made again.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsRole } from '@pouch/contracts';
import { credentialsFile, makeMemberKey, memberName, signMember } from './authority.ts';
import type { Authority } from './authority-file.ts';
import { makeCertificate, type Pair } from './certificates.ts';
import { permissionsOf } from './permissions.ts';
import { writeWhole } from './write-whole.ts';

export interface MemberFiles {
  /** The authority's certificate, for who connects. */
  readonly ca: string;
  /** Of the NATS server, where there is one. With the authority's certificate behind it, so that a newcomer can hold that against what its token says. */
  readonly serverCert: string;
  readonly serverKey: string;
  readonly creds: (kind: NatsRole['kind']) => string;
}

export function memberFiles(directory: string): MemberFiles {
  return { ca: join(directory, 'ca.pem'), serverCert: join(directory, 'nats-cert.pem'), serverKey: join(directory, 'nats-key.pem'), creds: (kind) => join(directory, `${kind}.creds`) };
}

const certificateDays = 825;
/** One with less than this ahead of it is made again. */
const renewMs = 275 * 86_400_000;
const dayMs = 86_400_000;

export interface Wanted {
  readonly roles: readonly NatsRole[];
  /** Names and addresses of the machine's NATS server; null: it has none. */
  readonly serverNames: readonly string[] | null;
}

/** Makes what is missing or does not fit. Rejects where the directory cannot be written. */
export async function provideMember(directory: string, authority: Authority, { roles, serverNames }: Wanted, nowMs: number): Promise<MemberFiles> {
  const files = memberFiles(directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (await textOf(files.ca) !== authority.certificates.cert) await writeWhole(files.ca, authority.certificates.cert, 0o644);
  for (const role of roles) {
    if (isSignedFor(await textOf(files.creds(role.kind)), role, authority)) continue;
    const { seed, publicKey } = makeMemberKey();
    await writeWhole(files.creds(role.kind), credentialsFile(await signMember(authority.keys, { publicKey, role, expiresAtMs: null }), seed), 0o600);
  }
  if (serverNames !== null && !fits({ cert: await textOf(files.serverCert), key: await textOf(files.serverKey) }, authority, serverNames, nowMs)) {
    const { cert, key } = await makeCertificate(authority.certificates, { kind: 'peer', names: serverNames }, certificateDays, nowMs);
    await writeWhole(files.serverKey, key, 0o600);
    await writeWhole(files.serverCert, cert + authority.certificates.cert, 0o644);
  }
  return files;
}

const textOf = async (file: string): Promise<string> => await readFile(file, 'utf8').catch(() => ''); // not there: made anew

/** Whether these credentials are of this cluster and this role, and let it do what this version needs. */
function isSignedFor(credentials: string, role: NatsRole, { trust }: Authority): boolean {
  const payload = /-----BEGIN NATS USER JWT-----\s+[\w-]+\.([\w-]+)\.[\w-]+/.exec(credentials)?.[1];
  if (payload === undefined) return false;
  const { name, iss, nats } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { name?: string; iss?: string; nats?: { pub?: { allow?: string[] }; sub?: { allow?: string[] } } };
  const { publish, subscribe } = permissionsOf(role);
  const same = (there: readonly string[] = [], wanted: readonly string[]): boolean => [...there].sort().join(' ') === [...wanted].sort().join(' ');
  return name === memberName(role) && iss === trust.account.publicKey && same(nats?.pub?.allow, publish) && same(nats?.sub?.allow, subscribe);
}

function fits({ cert, key }: Pair, { certificates }: Authority, names: readonly string[], nowMs: number): boolean {
  try {
    const [own, ca] = [new X509Certificate(cert), new X509Certificate(certificates.cert)];
    const renewAtMs = Math.min(Date.parse(own.validTo), Date.parse(ca.validTo) + dayMs) - renewMs;
    const covered = names.every((name) => own.checkHost(name, { subject: 'never' }) !== undefined || own.checkIP(name) !== undefined);
    return covered && own.verify(ca.publicKey) && cert.endsWith(certificates.cert) && own.checkPrivateKey(createPrivateKey(key)) && nowMs < renewAtMs;
  } catch {
    return false; // not there, or something else
  }
}
