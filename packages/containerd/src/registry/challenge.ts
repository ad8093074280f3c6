// Registry authentication: reads WWW-Authenticate and gets bearer tokens (distribution's token specification).
import { ImageError } from '../image/image-error.ts';
import type { Credentials } from './endpoints.ts';
import type { HttpRequest, HttpResponse } from './http.ts';

export type Challenge = { scheme: string; parameters: Record<string, string> };

/** Parses a WWW-Authenticate header; the last challenge wins where several have one scheme. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const token = /\s*,?\s*([A-Za-z0-9_-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/gy;
  for (let match = token.exec(header); match !== null && match[0] !== ''; match = token.exec(header)) {
    const [, word, quoted, plain] = match;
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) challenges.push({ scheme: word!.toLowerCase(), parameters: {} });
    else if (challenges.length > 0) challenges.at(-1)!.parameters[word!.toLowerCase()] = value;
  }
  return challenges;
}

export function basicHeader({ username = '', password = '' }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

const MAX_TOKEN_BYTES = 1 << 20;

/** What a token service is asked with: an exchange with the caller's time limits and retries, and a bounded reader of bodies. */
export type Fetcher = { send(url: string, request: HttpRequest): Promise<HttpResponse>; read(response: HttpResponse, maxBytes: number, what: string): Promise<Buffer> };

/** Answers a 401 with the value of an Authorization header; undefined where there is nothing to answer with. */
export async function authorize(header: string, scope: string, credentials: Credentials | undefined, fetcher: Fetcher): Promise<string | undefined> {
  const challenges = parseChallenges(header);
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer?.parameters['realm'] !== undefined) return `Bearer ${await token(bearer, scope, credentials, fetcher)}`;
  const basic = challenges.find(({ scheme }) => scheme === 'basic');
  return basic !== undefined && credentials?.username !== undefined ? basicHeader(credentials) : undefined;
}

async function token({ parameters }: Challenge, scope: string, credentials: Credentials | undefined, fetcher: Fetcher): Promise<string> {
  const realm = parameters['realm']!;
  if (!URL.canParse(realm) || !/^https?:$/.test(new URL(realm).protocol)) throw new ImageError('registry', `the registry names a token service that is no URL: ${JSON.stringify(realm.slice(0, 200))}`);
  const query = new URLSearchParams();
  if (parameters['service'] !== undefined) query.set('service', parameters['service']);
  query.set('scope', parameters['scope'] ?? scope);
  let response: HttpResponse;
  if (credentials?.identityToken) {
    query.set('grant_type', 'refresh_token');
    query.set('refresh_token', credentials.identityToken);
    query.set('client_id', 'pouch');
    response = await fetcher.send(realm, { method: 'POST', body: query.toString() });
  } else {
    const url = new URL(realm);
    for (const [key, value] of query) url.searchParams.set(key, value);
    if (credentials?.username) url.searchParams.set('account', credentials.username);
    response = await fetcher.send(url.href, { headers: credentials?.username ? { authorization: basicHeader(credentials) } : {} });
  }
  const text = (await fetcher.read(response, MAX_TOKEN_BYTES, 'the answer of the token service')).toString('utf8');
  if (response.status === 401 || response.status === 403) throw new ImageError('access-denied', `the token service ${new URL(realm).host} refused the credentials (${response.status})`);
  if (response.status !== 200) throw new ImageError('registry', `the token service ${new URL(realm).host} answered ${response.status}`);
  try {
    const answer = JSON.parse(text) as { token?: unknown; access_token?: unknown };
    const value = answer.token ?? answer.access_token;
    if (typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)) return value;
  } catch (error) {
    throw new ImageError('registry', `the token service ${new URL(realm).host} answered with something that is not JSON`, error);
  }
  throw new ImageError('registry', `the token service ${new URL(realm).host} answered without a token`);
}
