// `pouch secret create|ls|inspect|rm|reseal`: secrets that containers are given as files. What they hold goes in and is never shown.
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { DockerSecret, SecretsSealedAgain } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { inspected, render, type Column } from '../format/output.ts';
import { humanAgo } from '../format/sizes.ts';
import { toRecord } from '../settings/values.ts';
import { several } from './several.ts';

export async function create(context: Context, name: string, file: string | undefined, flags: { readonly label?: readonly string[] }): Promise<number> {
  const data = file === undefined || file === '-' ? await buffer(process.stdin) : await readFile(file).catch((error: unknown) => {
    throw new CliError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  });
  if (data.length === 0) throw new UsageError('the secret is empty: give a file, or its bytes on stdin');
  const client = await context.client();
  const { ID } = await client.json<{ ID: string }>('POST', '/secrets/create', { body: { Name: name, Data: data.toString('base64'), Labels: toRecord('--label', flags.label ?? []) } });
  process.stdout.write(`${ID}\n`);
  return 0;
}

type SecretRow = { readonly ID: string; readonly Name: string; readonly Created: string; readonly Updated: string };
const columns: readonly Column<SecretRow>[] = [{ title: 'Name', value: (row) => row.Name }, { title: 'Created', value: (row) => row.Created }, { title: 'Updated', value: (row) => row.Updated }];

export async function ls(context: Context, flags: { readonly format?: string; readonly quiet?: boolean }): Promise<number> {
  const client = await context.client();
  const secrets = await client.json<DockerSecret[]>('GET', '/secrets');
  const ago = (time: string): string => humanAgo(Date.now() - Date.parse(time));
  if (flags.quiet === true) process.stdout.write(secrets.map(({ ID }) => `${ID}\n`).join(''));
  else if (flags.format === 'json') process.stdout.write(secrets.map((secret) => `${JSON.stringify(secret)}\n`).join(''));
  else process.stdout.write(render(flags.format, columns, secrets.map(({ ID, CreatedAt, UpdatedAt, Spec }) => ({ ID, Name: Spec.Name, Created: ago(CreatedAt), Updated: ago(UpdatedAt) }))));
  return 0;
}

export async function inspect(context: Context, names: readonly string[], flags: { readonly format?: string }): Promise<number> {
  const client = await context.client();
  const secrets: DockerSecret[] = [];
  for (const name of names) secrets.push(await client.json<DockerSecret>('GET', `/secrets/${encodeURIComponent(name)}`));
  process.stdout.write(inspected(flags.format, secrets));
  return 0;
}

export async function rm(context: Context, names: readonly string[]): Promise<number> {
  const client = await context.client();
  return await several(names, async (name) => {
    await client.json('DELETE', `/secrets/${encodeURIComponent(name)}`);
    return name;
  });
}

export async function reseal(context: Context): Promise<number> {
  const client = await context.client();
  const { sealedAgain, keyId } = await client.json<SecretsSealedAgain>('POST', '/cluster/secrets/reseal');
  process.stdout.write(`${sealedAgain} secrets were sealed again; all are sealed with the key ${keyId}\n`);
  return 0;
}
