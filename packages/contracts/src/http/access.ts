// HTTP shapes of who may do what: tokens and the policy, under /cluster/, and secrets, in Docker's words. Schemas and their types; the api serves them, the CLI reads them.
import { Type, type Static } from 'typebox';
import { maxJoinTokenUses, type PolicyRules, type Role } from '@pouch/domain';

const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const RoleName = Type.Union([Type.Literal('read'), Type.Literal('operate'), Type.Literal('admin')]);
const AccessName = Type.String({ minLength: 1, maxLength: 63, pattern: '^[a-z0-9][a-z0-9-]*$', description: 'a-z, 0-9 and -, a letter or digit first' });
export const AccessNameParams = Type.Object({ name: AccessName });

// ---- /cluster/whoami ----

/** Who the API takes the caller for. */
export const Caller = Type.Object({ actor: Type.String(), role: RoleName });
export type Caller = { readonly actor: string; readonly role: Role };

// ---- /cluster/tokens ----

/** `POST /cluster/tokens` */
export const TokenBody = Type.Object({
  name: AccessName,
  role: RoleName,
  expiresInSeconds: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 315_360_000, description: 'null: never' }))),
});
export type TokenBody = Static<typeof TokenBody>;

/** `token` is shown this once. */
export const TokenMade = Type.Object({ name: Type.String(), role: RoleName, expiresAtMs: Nullable(Type.Number()), token: Type.String() });
export type TokenMade = Static<typeof TokenMade>;

export const ClusterToken = Type.Object({ name: Type.String(), role: RoleName, createdAtMs: Type.Number(), expiresAtMs: Nullable(Type.Number()), expired: Type.Boolean() });
export type ClusterToken = Static<typeof ClusterToken>;
export const ClusterTokens = Type.Object({ tokens: Type.Array(ClusterToken) });
export type ClusterTokens = Static<typeof ClusterTokens>;

/** Beginning of every token: the name is between it and the last underscore, so that a leaked one can be told and revoked. */
export const tokenPrefix = 'pouch_';

// ---- /cluster/policy ----

const Who = Type.Union([Type.Literal('operate'), Type.Literal('admin'), Type.Literal('nobody')]);
const WhoOf = Type.Object({ privileged: Who, 'host-binds': Who, 'host-network': Who, devices: Who, capabilities: Who, seccomp: Who }, { additionalProperties: false });

/** `PUT /cluster/policy`: members that are left out stay as they are. */
export const PolicyBody = Type.Object({
  who: Type.Optional(Type.Partial(WhoOf, { additionalProperties: false })),
  bindPrefixes: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1_024, pattern: '^/' }), { maxItems: 64, description: 'directories of hosts below which binds are open' })),
  allowedCapabilities: Type.Optional(Type.Array(Type.String({ pattern: '^CAP_[A-Z_]{2,40}$' }), { maxItems: 64 })),
}, { additionalProperties: false });
export type PolicyBody = Static<typeof PolicyBody>;

export const ClusterPolicy = Type.Object({ rules: Type.Unsafe<PolicyRules>(Type.Object({ who: WhoOf, bindPrefixes: Type.Array(Type.String()), allowedCapabilities: Type.Array(Type.String()) })), sinceMs: Nullable(Type.Number()) });
export type ClusterPolicy = Static<typeof ClusterPolicy>;

// ---- /cluster/join-tokens ----

/** `POST /cluster/join-tokens` */
export const JoinTokenBody = Type.Object({
  uses: Type.Optional(Type.Integer({ minimum: 1, maximum: maxJoinTokenUses, description: 'hosts that it may admit; 1' })),
  expiresInSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_592_000, description: '3600' })),
  host: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$', description: 'the only host that it admits, also in place of one of that name' })),
}, { additionalProperties: false });
export type JoinTokenBody = Static<typeof JoinTokenBody>;

/** `token` is shown this once. */
export const JoinTokenMade = Type.Object({ name: Type.String(), expiresAtMs: Type.Number(), token: Type.String() });
export type JoinTokenMade = Static<typeof JoinTokenMade>;

export const JoinTokens = Type.Object({
  tokens: Type.Array(Type.Object({ name: Type.String(), host: Nullable(Type.String()), usesLeft: Type.Integer(), createdAtMs: Type.Number(), expiresAtMs: Type.Number(), expired: Type.Boolean() })),
});
export type JoinTokens = Static<typeof JoinTokens>;
