// What the NATS servers know of the cluster's account: asked for and replaced over their system account, with no restart. Servers of a cluster tell each other.
import { connect, credsAuthenticator } from 'nats';
import { encodeUser, fromPublic, fromSeed } from 'nats-jwt';
import { credentialsFile, makeMemberKey, revokedBy, signAccount, type Revoked } from './authority.ts';
import type { Authority } from './authority-file.ts';

export interface ServersAt {
  readonly servers: string;
  readonly caFile: string;
}

const inbox = '_INBOX.steward';
const timeoutMs = 5_000;
/** Credentials that are made for one connection. */
const lifeSeconds = 120;

/**
 * Makes the servers refuse these keys besides those that they refuse already, and end their connections. True: they did not know all of them.
 * Rejects where no server answers.
 */
export async function revokeAtServers(authority: Authority, revoked: Revoked, { servers, caFile }: ServersAt): Promise<boolean> {
  const { publicKey } = authority.trust.account;
  const nc = await connect({
    servers: servers.split(','), name: 'steward', reconnect: false, timeout: timeoutMs, inboxPrefix: inbox, tls: { caFile }, authenticator: credsAuthenticator(Buffer.from(await systemCredentials(authority))),
  });
  try {
    const known = (await nc.request(`$SYS.REQ.ACCOUNT.${publicKey}.CLAIMS.LOOKUP`, '', { timeout: timeoutMs })).string();
    const before = revokedBy(known);
    if (Object.entries(revoked).every(([key, atSeconds]) => (before[key] ?? 0) >= atSeconds)) return false;
    const { jwt } = await signAccount(authority.keys, { ...before, ...revoked });
    const answer = (await nc.request('$SYS.REQ.CLAIMS.UPDATE', jwt, { timeout: timeoutMs })).json<{ readonly error?: { readonly description?: string } }>();
    if (answer.error !== undefined) throw new Error(`the NATS server does not take the account's new text: ${answer.error.description ?? 'no reason given'}`);
    return true;
  } finally {
    await nc.close();
  }
}

async function systemCredentials({ keys }: Authority): Promise<string> {
  const { seed, publicKey } = makeMemberKey();
  const jwt = await encodeUser('steward', fromPublic(publicKey), fromSeed(Buffer.from(keys.systemSeed, 'latin1')), {
    pub: { allow: ['$SYS.REQ.CLAIMS.UPDATE', '$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP'], deny: [] }, sub: { allow: [`${inbox}.>`], deny: [] }, subs: -1, data: -1, payload: -1, bearer_token: false,
    allowed_connection_types: ['STANDARD'],
  }, { exp: Math.floor(Date.now() / 1_000) + lifeSeconds });
  return credentialsFile(jwt, seed);
}
