// The scheduler's configuration, from the environment: parsed once, frozen, passed in. Nothing else of the scheduler reads process.env.
import { hostname } from 'node:os';
import { Type } from 'typebox';
import { strategies, type Strategy } from '@pouch/domain';
import { parseConfig, type LogLevel } from '@pouch/process';

const schema = Type.Object({
  POUCH_NATS_URL: Type.String({ default: 'nats://127.0.0.1:4222', description: 'one URL, or several of one cluster with commas' }),
  POUCH_NATS_CREDS: Type.Optional(Type.String({ description: 'file with the credentials that this process shows to NATS; none: NATS asks for none' })),
  POUCH_NATS_CA: Type.Optional(Type.String({ description: "file of the certificate that the NATS servers' certificates must be signed with; with it every connection is TLS" })),
  POUCH_NATS_REPLICAS: Type.Integer({ default: 1, minimum: 1, maximum: 5, description: 'NATS servers that keep each message of the log: 3 where NATS is a cluster of three' }),
  POUCH_RETENTION_DAYS: Type.Number({ default: 7, minimum: 0, description: 'days that removed containers, ended execs and removed images stay in the log' }),
  POUCH_RETENTION_COUNT: Type.Integer({ default: 100_000, minimum: 0, description: 'how many of them stay at most' }),
  POUCH_STRATEGY: Type.Union(strategies.map((strategy) => Type.Literal(strategy)), { default: 'spread', description: 'how hosts are chosen for containers that say nothing of it' }),
  POUCH_LOG_LEVEL: Type.Union(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)), { default: 'info' }),
});

export interface SchedulerConfig {
  readonly natsUrl: string;
  /** Null: NATS asks for none. */
  readonly natsCredentials: string | null;
  /** File of the authority of the NATS servers' certificates; null: NATS without TLS. */
  readonly natsCa: string | null;
  readonly natsReplicas: number;
  /** Shown as the leader in `pouch cluster`. */
  readonly name: string;
  readonly retention: { readonly maxAgeMs: number; readonly maxCount: number };
  readonly strategy: Strategy;
  readonly logLevel: LogLevel;
}

/** Throws a `ConfigError` that says which variable is wrong and what is right. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): SchedulerConfig {
  const parsed = parseConfig(schema, env);
  return Object.freeze({
    natsUrl: parsed.POUCH_NATS_URL,
    natsCredentials: parsed.POUCH_NATS_CREDS ?? null,
    natsCa: parsed.POUCH_NATS_CA ?? null,
    natsReplicas: parsed.POUCH_NATS_REPLICAS,
    name: `${hostname()}-${process.pid}`,
    retention: { maxAgeMs: parsed.POUCH_RETENTION_DAYS * 86_400_000, maxCount: parsed.POUCH_RETENTION_COUNT },
    strategy: parsed.POUCH_STRATEGY,
    logLevel: parsed.POUCH_LOG_LEVEL as LogLevel,
  });
}
