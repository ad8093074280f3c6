// `pouch cluster join-token` and `pouch agent join`: how a host comes into the cluster. Joining is the work of the checkout's own scripts, which `npm run join`
// runs as well on a machine that has no `pouch` yet.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JoinTokenMade, JoinTokens } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { render, type Column } from '../format/output.ts';
import { humanAgo } from '../format/sizes.ts';
import { lifetimeSeconds } from './access.ts';
import { several } from './several.ts';

export interface JoinTokenFlags {
  readonly uses?: string;
  readonly expires?: string;
  readonly for?: string;
  readonly quiet?: boolean;
}

export async function createJoinToken(context: Context, flags: JoinTokenFlags): Promise<number> {
  const uses = Number(flags.uses ?? '1');
  if (!Number.isInteger(uses) || uses < 1) throw new UsageError(`--uses ${flags.uses ?? ''}: it must be a whole number, 1 or more`);
  const expiresInSeconds = lifetimeSeconds(flags.expires ?? '1h');
  if (expiresInSeconds === null) throw new UsageError('--expires never: a join token is short-lived, 30 days at most');
  const client = await context.client();
  const { name, token, expiresAtMs } = await client.json<JoinTokenMade>('POST', '/cluster/join-tokens', { body: { uses, expiresInSeconds, ...(flags.for === undefined ? {} : { host: flags.for }) } });
  if (flags.quiet !== true) process.stderr.write(`Join token ${name}, not shown again: it admits ${uses === 1 ? 'one host' : `${uses} hosts`} until ${new Date(expiresAtMs).toISOString()}. On the new host: echo TOKEN | pouch agent join ADDRESS --token -\n`);
  process.stdout.write(`${token}\n`);
  return 0;
}

type Row = { readonly Name: string; readonly For: string; readonly Uses: string; readonly Created: string; readonly Expires: string };
const columns: readonly Column<Row>[] = [
  { title: 'Name', value: (row) => row.Name }, { title: 'For', value: (row) => row.For }, { title: 'Uses left', value: (row) => row.Uses },
  { title: 'Created', value: (row) => row.Created }, { title: 'Expires', value: (row) => row.Expires },
];

export async function listJoinTokens(context: Context, flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const { tokens } = await client.json<JoinTokens>('GET', '/cluster/join-tokens');
  const rows = tokens.map(({ name, host, usesLeft, createdAtMs, expiresAtMs, expired }): Row => (
    { Name: name, For: host ?? 'any host', Uses: String(usesLeft), Created: humanAgo(Date.now() - createdAtMs), Expires: expired ? 'expired' : new Date(expiresAtMs).toISOString() }
  ));
  process.stdout.write(flags.format === 'json' ? tokens.map((token) => `${JSON.stringify(token)}\n`).join('') : render(flags.format, columns, rows));
  return 0;
}

export async function revokeJoinTokens(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', `/cluster/join-tokens/${encodeURIComponent(name)}`);
    return name;
  });
}

/** `rest`: options of the script, passed on as they are. */
export async function joinAgent(address: string, flags: { readonly token?: string }, rest: readonly string[]): Promise<number> {
  const bootstrap = join(import.meta.dirname, '../../../../scripts/bootstrap.mjs');
  if (!existsSync(bootstrap)) throw new CliError(`${bootstrap} is not there`, { hint: 'joining needs a whole checkout of Pouch' });
  if (flags.token === undefined) throw new UsageError('--token is missing: pouch cluster join-token makes one; with --token - it is read from standard input');
  // Arguments can be read by everybody on the machine: a token that came on this command line is passed on by standard input.
  const child = spawn(process.execPath, [bootstrap, 'join.ts', address, '--token', '-', ...rest], { stdio: [flags.token === '-' ? 'inherit' : 'pipe', 'inherit', 'inherit'] });
  if (flags.token !== '-') child.stdin?.end(`${flags.token}\n`);
  const [code] = await once(child, 'exit') as [number | null];
  return code ?? 1;
}
