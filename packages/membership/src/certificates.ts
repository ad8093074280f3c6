// Makes a certificate authority and the certificates that it signs, as PEM texts. Keeps and writes nothing: files are the command's.
// Node's crypto cannot sign X.509; @peculiar/x509 can, on every system, where the program openssl need not be installed.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, PemConverter, SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension, X509Certificate, X509CertificateGenerator, type Extension,
} from '@peculiar/x509';

/** A certificate and its private key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is for: a server under names and addresses, the same of a peer that shows it to other servers as well, or a client with a name and, where given, a role of the API. */
export type Purpose = { readonly kind: 'server' | 'peer'; readonly names: readonly string[] } | { readonly kind: 'client'; readonly name: string; readonly role: string | null };

/** P-256: small, quick, and known to every TLS library that speaks 1.2. */
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;
/** Clocks of hosts differ: a certificate is good from a little before now. */
const earlierMs = 3_600_000;

/** The organizational unit of a client's certificate that gives it a role, as the api reads it where nothing else is configured. */
export const unitOfRole = (role: string): string => `pouch-${role}`;

/** A new authority, for `days` from `nowMs`. */
export async function makeAuthority(name: string, days: number, nowMs: number): Promise<Pair> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(), name: [{ CN: [name] }], notBefore: new Date(nowMs - earlierMs), notAfter: new Date(nowMs + days * dayMs), signingAlgorithm: algorithm, keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pem(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate signed by `authority`. Rejects where the authority's files are not a certificate and its P-256 key. */
export async function makeCertificate(authority: Pair, purpose: Purpose, days: number, nowMs: number): Promise<Pair> {
  const issuer = new X509Certificate(authority.cert);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(authority.key), algorithm, false, ['sign']);
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerial(), subject: subjectOf(purpose), issuer: issuer.subjectName, signingKey, publicKey: keys.publicKey, signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - earlierMs), notAfter: new Date(Math.min(nowMs + days * dayMs, issuer.notAfter.getTime())),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      await AuthorityKeyIdentifierExtension.create(issuer),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...extensionsOf(purpose),
    ],
  });
  return { cert: pem(certificate), key: await keyPem(keys.privateKey) };
}

function subjectOf(purpose: Purpose): { CN?: string[]; OU?: string[] }[] {
  if (purpose.kind === 'client') return [{ CN: [purpose.name] }, ...(purpose.role === null ? [] : [{ OU: [unitOfRole(purpose.role)] }])];
  return [{ CN: [purpose.names[0] ?? 'pouch'] }];
}

function extensionsOf(purpose: Purpose): Extension[] {
  if (purpose.kind === 'client') return [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])];
  return [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ...(purpose.kind === 'peer' ? [ExtendedKeyUsage.clientAuth] : [])]),
    new SubjectAlternativeNameExtension(purpose.names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
  ];
}

const newKeys = async () => await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
/** 127 bits, positive. */
const newSerial = (): string => {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
};
const pem = (certificate: X509Certificate): string => `${certificate.toString('pem')}\n`;
const keyPem = async (key: webcrypto.CryptoKey): Promise<string> => `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
