// `pouch stats`: what containers use, once or as it changes.
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import type { ContainerItem, StatsAnswer } from '../engine/shapes.ts';
import { ApiError, errorLine } from '../errors.ts';
import { render } from '../format/output.ts';
import { statsColumns, statsRow, type StatsRow } from '../format/stats-rows.ts';

export interface StatsFlags {
  readonly all?: boolean;
  /** False with --no-stream. */
  readonly stream?: boolean;
  /** False with --no-trunc. */
  readonly trunc?: boolean;
  readonly format?: string;
}

/** A list is redrawn so often; the API tells once a second. */
const drawMs = 1_000;
const atOnce = 16;
const clear = '\u001B[H\u001B[2J';

export async function stats(context: Context, names: readonly string[], flags: StatsFlags): Promise<number> {
  const columns = statsColumns(flags.trunc !== false);
  const print = (rows: readonly StatsRow[]): string => render(flags.format, columns, rows);
  print([]); // a mistake in the format is told before anything is asked
  const client = await context.client();
  const listed = async (): Promise<string[]> => (names.length > 0 ? [...names] : (await client.json<ContainerItem[]>('GET', '/containers/json', { query: { all: flags.all === true ? 1 : undefined } })).map((item) => item.Names?.[0]?.replace(/^\//, '') ?? item.Id));
  if (flags.stream === false) return await once(client, await listed(), print);
  return await follow(client, listed, names.length > 0, print);
}

async function once(client: EngineClient, names: readonly string[], print: (rows: readonly StatsRow[]) => string): Promise<number> {
  const rows: StatsRow[] = [];
  let code = 0;
  for (let at = 0; at < names.length; at += atOnce) {
    const part = names.slice(at, at + atOnce);
    const answers = await Promise.allSettled(part.map((name) => client.json<StatsAnswer>('GET', `/containers/${segment(name)}/stats`, { query: { stream: 0 } })));
    for (const [number, answer] of answers.entries()) {
      if (answer.status === 'fulfilled') rows.push(statsRow(part[number] as string, answer.value));
      else {
        process.stderr.write(`${errorLine(answer.reason)}\n`);
        code = 1;
      }
    }
  }
  process.stdout.write(print(rows));
  return code;
}

/** Until every one of `named` has been removed; of all containers until the user leaves. */
async function follow(client: EngineClient, list: () => Promise<string[]>, named: boolean, print: (rows: readonly StatsRow[]) => string): Promise<number> {
  const rows = new Map<string, StatsRow>();
  const watched = new Map<string, Promise<void>>();
  const failed: Error[] = [];
  const watch = async (name: string): Promise<void> => {
    rows.set(name, statsRow(name, null));
    try {
      for await (const answer of client.lines<StatsAnswer>('GET', `/containers/${segment(name)}/stats`)) rows.set(name, statsRow(name, answer));
    } catch (error) {
      if (named || !(error instanceof ApiError)) failed.push(error instanceof Error ? error : new Error(String(error))); // not named: it went between the list and the question
    } finally {
      rows.delete(name);
      watched.delete(name);
    }
  };
  for (;;) {
    if (!named || (watched.size === 0 && rows.size === 0)) for (const name of await list()) if (!watched.has(name)) watched.set(name, watch(name));
    await Promise.race([delay(drawMs), ...(named ? [Promise.all(watched.values())] : [])]);
    const [first] = failed;
    if (first !== undefined) throw first;
    if (named && watched.size === 0) return 0;
    process.stdout.write(`${process.stdout.isTTY ? clear : ''}${print([...rows.values()])}`);
  }
}
