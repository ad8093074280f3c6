// `pouch cluster token …` and `pouch cluster policy`: who may use the API, and what containers may ask of their hosts. Shapes are the contracts'.
import type { ClusterPolicy, ClusterToken, ClusterTokens, PolicyBody, TokenMade } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { UsageError } from '../errors.ts';
import { render, type Column } from '../format/output.ts';
import { humanAgo } from '../format/sizes.ts';
import { several } from './several.ts';

export interface TokenFlags {
  readonly role?: string;
  readonly expires?: string;
  readonly quiet?: boolean;
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `30d` → seconds; `never` → null. */
export function lifetimeSeconds(text: string): number | null {
  if (text === 'never') return null;
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  const seconds = Number(match?.[1] ?? 0) * (unitSeconds[match?.[2] ?? ''] ?? 0);
  if (seconds <= 0) throw new UsageError(`--expires ${text}: it must be a number and s, m, h or d, e.g. 30d, or never`);
  return seconds;
}

export async function createToken(context: Context, name: string, flags: TokenFlags): Promise<number> {
  const expiresInSeconds = lifetimeSeconds(flags.expires ?? '90d');
  const client = await context.client();
  const { token, expiresAtMs } = await client.json<TokenMade>('POST', '/cluster/tokens', { body: { name, role: flags.role ?? 'read', expiresInSeconds } });
  if (flags.quiet !== true) process.stderr.write(`This token is not shown again. It ${expiresAtMs === null ? 'does not expire' : `expires at ${new Date(expiresAtMs).toISOString()}`}. Use: POUCH_TOKEN=… pouch, or the header "Authorization: Bearer …"\n`);
  process.stdout.write(`${token}\n`);
  return 0;
}

export async function listTokens(context: Context, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const { tokens } = await client.json<ClusterTokens>('GET', '/cluster/tokens');
  if (flags.format === 'json') process.stdout.write(tokens.map((token) => `${JSON.stringify(token)}\n`).join(''));
  else process.stdout.write(render(flags.format, columns, tokens.map((token) => tokenRow(token, Date.now()))));
  return 0;
}

type TokenRow = { readonly Name: string; readonly Role: string; readonly Created: string; readonly Expires: string };
const columns: readonly Column<TokenRow>[] = [
  { title: 'Name', value: (row) => row.Name }, { title: 'Role', value: (row) => row.Role }, { title: 'Created', value: (row) => row.Created }, { title: 'Expires', value: (row) => row.Expires },
];

function tokenRow({ name, role, createdAtMs, expiresAtMs, expired }: ClusterToken, nowMs: number): TokenRow {
  return { Name: name, Role: role, Created: humanAgo(nowMs - createdAtMs), Expires: expiresAtMs === null ? 'never' : expired ? 'expired' : new Date(expiresAtMs).toISOString() };
}

export async function revokeTokens(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', `/cluster/tokens/${encodeURIComponent(name)}`);
    return name;
  });
}

/** `rule=who`, `bind-prefixes=/a,/b`, `allowed-capabilities=NET_ADMIN` → the body of a change. */
export function policyBody(settings: readonly string[]): PolicyBody {
  const who: Record<string, string> = {};
  let lists: Pick<PolicyBody, 'bindPrefixes' | 'allowedCapabilities'> = {};
  for (const setting of settings) {
    const at = setting.indexOf('=');
    if (at < 1) throw new UsageError(`${setting}: it must be rule=who, e.g. privileged=admin`);
    const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
    const values = value.split(',').map((one) => one.trim()).filter((one) => one !== '');
    if (name === 'bind-prefixes') lists = { ...lists, bindPrefixes: values };
    else if (name === 'allowed-capabilities') lists = { ...lists, allowedCapabilities: values.map((one) => `CAP_${one.toUpperCase().replace(/^CAP_/, '')}`) };
    else who[name] = value;
  }
  return { ...lists, ...(Object.keys(who).length === 0 ? {} : { who: who as NonNullable<PolicyBody['who']> }) };
}

export async function policy(context: Context, settings: readonly string[], flags: { readonly format?: string }): Promise<number> {
  const body = policyBody(settings);
  const client = await context.client();
  const shown = settings.length === 0 ? await client.json<ClusterPolicy>('GET', '/cluster/policy') : await client.json<ClusterPolicy>('PUT', '/cluster/policy', { body });
  process.stdout.write(flags.format === 'json' ? `${JSON.stringify(shown)}\n` : policyText(shown));
  return 0;
}

function policyText({ rules }: ClusterPolicy): string {
  const lines = Object.entries(rules.who).map(([rule, who]) => `${rule}=${who}`);
  return `${[...lines, `bind-prefixes=${rules.bindPrefixes.join(',')}`, `allowed-capabilities=${rules.allowedCapabilities.join(',')}`].join('\n')}\n`;
}
