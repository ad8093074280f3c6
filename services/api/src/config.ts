// The api's configuration, from the environment: parsed once, frozen, passed in. Nothing else of the api reads process.env.
import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { Type } from 'typebox';
import { isRole, type Role } from '@pouch/domain';
import { ConfigError, messageOf, parseConfig, type LogLevel } from '@pouch/process';
import type { Retention } from '@pouch/projections';
import type { AccessConfig, SubjectRole } from './access/principal.ts';
import { readTlsFiles, type TlsFiles, type TlsSettings } from './tls-material.ts';

const schema = Type.Object({
  POUCH_NATS_URL: Type.String({ default: 'nats://127.0.0.1:4222', description: 'one URL, or several of one cluster with commas' }),
  POUCH_NATS_CREDS: Type.Optional(Type.String({ description: 'file with the credentials that this process shows to NATS; none: NATS asks for none' })),
  POUCH_NATS_CA: Type.Optional(Type.String({ description: "file of the certificate that the NATS servers' certificates must be signed with; with it every connection is TLS" })),
  POUCH_AUTHORITY: Type.Optional(Type.String({ description: "absolute path of the file of the cluster's authority, with which this api admits hosts; none: it admits nobody" })),
  POUCH_NATS_REPLICAS: Type.Integer({ default: 1, minimum: 1, maximum: 5, description: 'NATS servers that keep each message of the log: 3 where NATS is a cluster of three' }),
  POUCH_DATA_DIR: Type.String({ default: '/var/lib/pouch/api', description: 'absolute path; holds the projection' }),
  POUCH_SOCKET: Type.String({ default: '/var/run/pouchd.sock', description: 'absolute path of the unix socket' }),
  POUCH_TCP: Type.Optional(Type.String({ description: 'address:port to listen on beside the socket, e.g. 127.0.0.1:2375; other addresses than loopback need POUCH_TLS_CA, _CERT and _KEY' })),
  POUCH_TLS_CA: Type.Optional(Type.String({ description: 'file of the CA that client certificates must be of' })),
  POUCH_TLS_CERT: Type.Optional(Type.String({ description: 'file of the server certificate' })),
  POUCH_TLS_KEY: Type.Optional(Type.String({ description: 'file of its key' })),
  POUCH_TLS_CLIENTS: Type.Union([Type.Literal('certificate'), Type.Literal('certificate-or-token')], { default: 'certificate', description: 'whether a client needs a certificate, or may show a token in its stead' }),
  POUCH_TLS_ROLES: Type.String({ default: 'OU=pouch-admin:admin,OU=pouch-operate:operate,OU=pouch-read:read', description: 'roles of client certificates, ATTRIBUTE=value:role with commas, the first that fits goes; *:role fits every certificate' }),
  POUCH_TCP_ROLE: Type.Union(['admin', 'operate', 'read', 'none'].map((role) => Type.Literal(role)), { default: 'admin', description: 'role of plain TCP, which is for this machine only; none: a token is needed' }),
  POUCH_SECRETS_KEY: Type.Optional(Type.String({ description: 'absolute path of the file of the cluster keys, for secrets' })),
  POUCH_DEFAULT_RUNTIME: Type.String({ default: 'runc', description: 'runtime of containers that name none' }),
  POUCH_HISTORY_DAYS: Type.Number({ default: 90, minimum: 0, description: 'days that the history reaches back; 0: no bound' }),
  POUCH_HISTORY_MESSAGES: Type.Integer({ default: 2_000_000, minimum: 0, description: 'messages that the history keeps at most; 0: no bound' }),
  POUCH_LOG_LEVEL: Type.Union(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)), { default: 'info' }),
});

export interface Config {
  readonly natsUrl: string;
  /** Null: NATS asks for none. */
  readonly natsCredentials: string | null;
  /** File of the authority of the NATS servers' certificates; null: NATS without TLS. */
  readonly natsCa: string | null;
  /** File of what signs for the cluster; null: this api admits nobody. */
  readonly authority: string | null;
  readonly natsReplicas: number;
  readonly dataDir: string;
  readonly socket: string;
  readonly tcp: TcpConfig | null;
  readonly access: AccessConfig;
  /** File of the cluster keys; null: there are no secrets. */
  readonly secretsKey: string | null;
  readonly defaultRuntime: string;
  readonly retention: Retention;
  readonly logLevel: LogLevel;
}

export interface TcpConfig {
  readonly host: string;
  readonly port: number;
  /** Null: plain, on a loopback address only. */
  readonly tls: { readonly files: TlsFiles; readonly clients: TlsSettings['clients'] } | null;
}

/** Ended execs and placements that led to nothing stay for this long. */
const endedMs = 3_600_000;

/** Throws a `ConfigError` that says which variable is wrong and what is right. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const parsed = parseConfig(schema, env);
  for (const name of ['POUCH_DATA_DIR', 'POUCH_SOCKET'] as const) {
    if (!isAbsolute(parsed[name])) throw new ConfigError(`${name} must be an absolute path, not ${JSON.stringify(parsed[name])}`);
  }
  return Object.freeze({
    natsUrl: parsed.POUCH_NATS_URL,
    natsCredentials: parsed.POUCH_NATS_CREDS ?? null,
    natsCa: parsed.POUCH_NATS_CA ?? null,
    authority: parsed.POUCH_AUTHORITY ?? null,
    natsReplicas: parsed.POUCH_NATS_REPLICAS,
    dataDir: parsed.POUCH_DATA_DIR,
    socket: parsed.POUCH_SOCKET,
    tcp: parsed.POUCH_TCP === undefined ? null : tcpConfig(parsed.POUCH_TCP, parsed),
    access: Object.freeze({ subjectRoles: subjectRoles(parsed.POUCH_TLS_ROLES), plainTcpRole: isRole(parsed.POUCH_TCP_ROLE as string) ? (parsed.POUCH_TCP_ROLE as Role) : null }),
    secretsKey: parsed.POUCH_SECRETS_KEY ?? null,
    defaultRuntime: parsed.POUCH_DEFAULT_RUNTIME,
    retention: { maxAgeMs: parsed.POUCH_HISTORY_DAYS === 0 ? null : parsed.POUCH_HISTORY_DAYS * 86_400_000, maxMessages: parsed.POUCH_HISTORY_MESSAGES || null, endedMs },
    logLevel: parsed.POUCH_LOG_LEVEL as LogLevel,
  });
}

interface TlsVariables {
  readonly POUCH_TLS_CA?: string;
  readonly POUCH_TLS_CERT?: string;
  readonly POUCH_TLS_KEY?: string;
  readonly POUCH_TLS_CLIENTS: string;
}

function tcpConfig(address: string, files: TlsVariables): TcpConfig {
  const match = /^(?:tcp:\/\/)?(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? Number.NaN);
  if (host === undefined || !(port <= 65_535)) throw new ConfigError(`POUCH_TCP must be address:port, e.g. 127.0.0.1:2375, not ${JSON.stringify(address)}`);
  const names = ['POUCH_TLS_CA', 'POUCH_TLS_CERT', 'POUCH_TLS_KEY'] as const;
  const missing = names.filter((name) => files[name] === undefined);
  if (missing.length === names.length) {
    // Whoever reaches the API can become root of every host: without verified client certificates it stays on this machine.
    if (!isLoopback(host)) throw new ConfigError(`POUCH_TCP: ${host} is not a loopback address: it needs TLS with client verification, by POUCH_TLS_CA, POUCH_TLS_CERT and POUCH_TLS_KEY`);
    return { host, port, tls: null };
  }
  if (missing.length > 0) throw new ConfigError(`TLS needs all of ${names.join(', ')}; missing: ${missing.join(', ')}`);
  const [ca = '', cert = '', key = ''] = names.map((name) => files[name]);
  try {
    readTlsFiles({ ca, cert, key });
  } catch (error) {
    throw new ConfigError(`${names.join(', ')}: ${messageOf(error)}`);
  }
  return { host, port, tls: { files: { ca, cert, key }, clients: files.POUCH_TLS_CLIENTS as TlsSettings['clients'] } };
}

function subjectRoles(text: string): readonly SubjectRole[] {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '').map((part) => {
    const match = /^(?:\*|(CN|OU|O|L|ST|C|DC|UID)=([^,=:]+)):([a-z]+)$/.exec(part);
    const role = match?.[3] ?? '';
    if (match === null || !isRole(role)) throw new ConfigError(`POUCH_TLS_ROLES: ${JSON.stringify(part)} must be ATTRIBUTE=value:role or *:role, e.g. OU=ops:operate; roles are read, operate and admin`);
    return { attribute: match[1] ?? '*', value: match[2] ?? '', role };
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.')) || host === '::1';
}
