// The keys of one cluster and what they sign: who may connect to its NATS servers, as what. Decentralized JWT (NATS ADR-14): servers are told the operator and
// the accounts once; members are signed by the account's key and need no word from anybody to connect. It keeps nothing and speaks to nobody.
import type { NatsRole } from '@pouch/contracts';
import { createAccount, createOperator, createUser, decode, encodeAccount, encodeOperator, encodeUser, fmtCreds, fromPublic, fromSeed } from 'nats-jwt';
import { permissionsOf } from './permissions.ts';

/** Secret, all of it: whoever has it can be anybody in the cluster. */
export interface ClusterKeys {
  readonly operatorSeed: string;
  readonly accountSeed: string;
  readonly systemSeed: string;
}

/** What each NATS server is configured with; no secret. */
export interface ServerTrust {
  readonly operatorJwt: string;
  readonly account: SignedAccount;
  readonly systemAccount: SignedAccount;
}

export interface SignedAccount {
  readonly publicKey: string;
  readonly jwt: string;
}

/** One answer to a request, within this time of it. */
const answerWithinNs = 120e9;
const unlimited = -1;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const key = (seed: string): ReturnType<typeof fromSeed> => fromSeed(Buffer.from(seed, 'latin1'));

export function makeClusterKeys(): ClusterKeys {
  return { operatorSeed: text(createOperator().getSeed()), accountSeed: text(createAccount().getSeed()), systemSeed: text(createAccount().getSeed()) };
}

/** A member's own key: the seed stays with it, the public key is what is signed. */
export function makeMemberKey(): { readonly seed: string; readonly publicKey: string } {
  const pair = createUser();
  return { seed: text(pair.getSeed()), publicKey: pair.getPublicKey() };
}

const limits = { conn: unlimited, leaf: 0, subs: unlimited, data: unlimited, payload: unlimited, imports: 0, exports: 0, wildcards: false };

/** Public keys of members that may connect no more, each with the instant (s since 1970) up to which what was signed for it is void. */
export type Revoked = Readonly<Record<string, number>>;

export async function signTrust(keys: ClusterKeys, revoked: Revoked = {}): Promise<ServerTrust> {
  const [operator, system] = [key(keys.operatorSeed), key(keys.systemSeed)];
  const systemKey = system.getPublicKey();
  return {
    operatorJwt: await encodeOperator('pouch', operator, { system_account: systemKey }),
    account: await signAccount(keys, revoked),
    systemAccount: { publicKey: systemKey, jwt: await encodeAccount('system', system, { limits }, { signer: operator }) },
  };
}

/** The account that all members are of, as servers are to know it from now on. */
export async function signAccount(keys: ClusterKeys, revoked: Revoked): Promise<SignedAccount> {
  const account = key(keys.accountSeed);
  const storage = { mem_storage: unlimited, disk_storage: unlimited, streams: unlimited, consumer: unlimited };
  return { publicKey: account.getPublicKey(), jwt: await encodeAccount('pouch', account, { limits: { ...limits, ...storage }, revocations: revoked }, { signer: key(keys.operatorSeed) }) };
}

/** What is revoked by an account that a server knows. */
export const revokedBy = (accountJwt: string): Revoked => (decode(accountJwt).nats as { revocations?: Revoked }).revocations ?? {};

/** What the credentials of a role are called. */
export const memberName = (role: NatsRole): string => (role.kind === 'agent' ? `agent ${role.hostId}` : role.kind === 'joiner' ? `joiner ${role.token}` : role.kind);

/** What a member shows when it connects: says its role and is of use only with its seed. `expiresAtMs`: null, never. */
export async function signMember(keys: Pick<ClusterKeys, 'accountSeed'>, member: { readonly publicKey: string; readonly role: NatsRole; readonly expiresAtMs: number | null }): Promise<string> {
  const { publish, subscribe } = permissionsOf(member.role);
  const expires = member.expiresAtMs === null ? {} : { exp: Math.floor(member.expiresAtMs / 1_000) };
  return await encodeUser(memberName(member.role), fromPublic(member.publicKey), key(keys.accountSeed), {
    pub: { allow: [...publish], deny: [] }, sub: { allow: [...subscribe], deny: [] }, resp: { max: 1, ttl: answerWithinNs },
    subs: unlimited, data: unlimited, payload: unlimited, bearer_token: false, allowed_connection_types: ['STANDARD'],
  }, expires);
}

/** A credentials file as every NATS client reads it. Secret. */
export function credentialsFile(jwt: string, seed: string): string {
  return text(fmtCreds(jwt, key(seed)));
}

/**
 * Lines of nats-server's configuration: trust in this cluster's keys and in nobody else. `directory`: where the server keeps what it learns of accounts while
 * it runs, which it shares with the others of its cluster; it is absolute.
 */
export function trustLines({ operatorJwt, account, systemAccount }: ServerTrust, directory: string): string[] {
  return [
    `operator: ${operatorJwt}`,
    `system_account: ${systemAccount.publicKey}`,
    `resolver { type: full, dir: ${JSON.stringify(directory)}, allow_delete: false, interval: "30s", limit: 16 }`,
    'resolver_preload {',
    ...[account, systemAccount].map(({ publicKey, jwt }) => `  ${publicKey}: ${jwt}`),
    '}',
  ];
}
