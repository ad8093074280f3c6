// `pouch create`, and the making of a container that run shares: pulls a missing image, writes the cidfile, prints warnings.
import { existsSync, writeFileSync } from 'node:fs';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import type { ContainerDetail, Created, ImageDetail } from '../engine/shapes.ts';
import { ApiError, UsageError } from '../errors.ts';
import { toAttachment, toCreateBody, type Attachment, type SettingFlags } from '../settings/create-body.ts';
import { runsShell } from '../settings/shell-image.ts';
import { pullImage } from './pull.ts';

export interface CreateFlags extends SettingFlags {
  readonly pull?: string;
  readonly quiet?: boolean;
  readonly platform?: string;
  readonly cidfile?: string;
}

const isMissingImage = (error: unknown): error is ApiError => error instanceof ApiError && error.status === 404 && /image/i.test(error.message);

export async function createContainer(context: Context, client: EngineClient, image: string, command: readonly string[], flags: CreateFlags, attachment: Attachment): Promise<string> {
  const policy = flags.pull ?? 'missing';
  if (!['always', 'missing', 'never'].includes(policy)) throw new UsageError(`--pull ${policy}: expected always, missing or never`);
  if (flags.cidfile !== undefined && existsSync(flags.cidfile)) throw new UsageError(`--cidfile ${flags.cidfile}: the file exists already`);
  const body = toCreateBody(image, command, flags, attachment, { variables: context.config.variables, cwd: process.cwd() });
  const pull = () => pullImage(client, image, process.stderr, { quiet: flags.quiet === true, ...(flags.platform === undefined ? {} : { platform: flags.platform }) });
  const create = () => client.json<Created>('POST', '/containers/create', { query: { name: flags.name, platform: flags.platform }, body });

  if (policy === 'always') await pull();
  const created = await create().catch(async (error: unknown) => {
    if (!isMissingImage(error) || policy === 'never') throw error;
    if (flags.quiet !== true) process.stderr.write(`The image ${image} is not here yet: pulling it\n`);
    await pull();
    return create();
  });
  if (flags.cidfile !== undefined) writeFileSync(flags.cidfile, created.Id);
  for (const warning of created.Warnings ?? []) process.stderr.write(`WARNING: ${warning}\n`);
  return created.Id;
}

export async function create(context: Context, image: string, command: readonly string[], flags: CreateFlags): Promise<number> {
  const client = await context.client();
  const attachment = { ...toAttachment(flags, false), stdin: flags.interactive === true };
  const settings = await withShellTerminal(client, image, command, flags);
  const id = await createContainer(context, client, image, command, settings, attachment);
  const name = flags.name ?? (await client.json<ContainerDetail>('GET', `/containers/${id}/json`)).Name.replace(/^\//, '');
  process.stdout.write(`container ID: ${id}, name: ${name}\n`);
  return 0;
}

/**
 * A container of a shell image, created without a command of its own, would end at once: it gets stdin and a terminal, so that `start -i`
 * gives a shell. Flags that were given are left alone.
 */
async function withShellTerminal(client: EngineClient, image: string, command: readonly string[], flags: CreateFlags): Promise<CreateFlags> {
  if (command.length > 0 || flags.entrypoint !== undefined || flags.interactive !== undefined || flags.tty !== undefined) return flags;
  const look = () => client.json<ImageDetail>('GET', `/images/${segment(image)}/json`);
  const detail = await look().catch(async (error: unknown) => {
    if (!(error instanceof ApiError) || error.status !== 404 || flags.pull === 'never') throw error;
    if (flags.quiet !== true) process.stderr.write(`The image ${image} is not here yet: pulling it\n`);
    await pullImage(client, image, process.stderr, { quiet: flags.quiet === true, ...(flags.platform === undefined ? {} : { platform: flags.platform }) });
    return look();
  });
  return runsShell(detail.Config) ? { ...flags, interactive: true, tty: true } : flags;
}
