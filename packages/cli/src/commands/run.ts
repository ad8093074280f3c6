// `pouch run`: create, attach, wait, start, carry the streams, and end as the container ends.
import type { Context } from '../context.ts';
import { ApiError, CliError, UsageError } from '../errors.ts';
import { toAttachment } from '../settings/create-body.ts';
import { requireTerminal, runSession, startContainer } from '../terminal/session.ts';
import { defaultDetachKeys, toDetachKeys } from '../terminal/detach-keys.ts';
import { createContainer, type CreateFlags } from './create.ts';

export interface RunFlags extends CreateFlags {
  readonly detach?: boolean;
  readonly detachKeys?: string;
  readonly sigProxy?: boolean;
}

export async function run(context: Context, image: string, command: readonly string[], flags: RunFlags): Promise<number> {
  const detach = flags.detach === true;
  const attachment = toAttachment(flags, detach);
  toDetachKeys(flags.detachKeys ?? defaultDetachKeys);
  if (!detach && flags.tty === true && attachment.stdin) requireTerminal(true, true);
  const client = await context.client();
  // Whatever keeps the container from being made is 125, as with docker: 1 could be the container's own exit code.
  const id = await createContainer(context, client, image, command, flags, attachment).catch((error: unknown) => {
    if (error instanceof UsageError) throw error;
    const hint = error instanceof CliError ? error.hint : null;
    throw error instanceof ApiError || error instanceof CliError ? new CliError(error.message, { exitCode: 125, cause: error, ...(hint === null ? {} : { hint }) }) : error;
  });
  if (!attachment.stdin && !attachment.stdout && !attachment.stderr) {
    await startContainer(client, `/containers/${id}`, flags.rm === true);
    process.stdout.write(`${id}\n`);
    return 0;
  }
  return runSession(client, {
    container: id,
    tty: flags.tty === true,
    ...attachment,
    detachKeys: flags.detachKeys,
    sigProxy: flags.sigProxy !== false,
    start: { autoRemove: flags.rm === true },
  });
}
