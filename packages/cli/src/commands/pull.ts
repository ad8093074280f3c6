// `pouch pull`, and the pull that create and run do first where the image is missing.
import type { Context } from '../context.ts';
import type { EngineClient } from '../engine/client.ts';
import type { ProgressLine } from '../engine/shapes.ts';
import { ApiError } from '../errors.ts';
import { showProgress, type ProgressOutput } from '../progress/progress.ts';

export interface PullFlags {
  readonly quiet?: boolean;
  readonly platform?: string;
}

/** `name[:tag][@digest]` apart; without either the tag is `latest`. A colon before the last slash is a registry's port. */
export function splitReference(reference: string): { name: string; tag: string } {
  const at = reference.indexOf('@');
  if (at !== -1) return { name: reference.slice(0, at).replace(/:[^:/]+$/, ''), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/') ? { name: reference.slice(0, colon), tag: reference.slice(colon + 1) } : { name: reference, tag: 'latest' };
}

export async function pullImage(client: EngineClient, reference: string, output: ProgressOutput, flags: PullFlags): Promise<void> {
  const { name, tag } = splitReference(reference);
  const lines = client.lines<ProgressLine>('POST', '/images/create', { query: { fromImage: name, tag, platform: flags.platform } });
  try {
    await showProgress(lines, output, flags.quiet === true);
  } catch (error) {
    if (error instanceof ApiError && !error.message.includes(name)) throw new ApiError(error.status, `cannot pull ${reference}: ${error.message}`, error.hint ?? undefined);
    throw error;
  }
}

export async function pull(context: Context, references: readonly string[], flags: PullFlags): Promise<number> {
  const client = await context.client();
  for (const reference of references) {
    await pullImage(client, reference, process.stdout, flags);
    if (flags.quiet === true) process.stdout.write(`${reference}\n`);
  }
  return 0;
}
