// `pouch logs`: what a container has written, and with -f what it goes on to write.
import { once } from 'node:events';
import type { Context } from '../context.ts';
import { isSystemError, segment, type QueryValue } from '../engine/client.ts';
import { Demultiplexer } from '../engine/frames.ts';
import type { ContainerDetail } from '../engine/shapes.ts';
import { UnreachableError, UsageError } from '../errors.ts';
import { toUnixTime } from '../format/times.ts';
import { toInteger } from '../settings/values.ts';

export interface LogsFlags {
  readonly follow?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly tail?: string;
  readonly timestamps?: boolean;
  readonly console?: boolean;
}

export async function logs(context: Context, name: string, flags: LogsFlags): Promise<number> {
  if (flags.console === true) return await consoleOutput(context, name, flags);
  const query = logsQuery(flags, Date.now());
  const client = await context.client();
  const path = `/containers/${segment(name)}`;
  const response = await client.stream('GET', `${path}/logs`, { query });
  const type = response.headers['content-type'] ?? '';
  // The media type tells framed from raw since API 1.42; before that only the container's own setting does.
  const framed = type.includes('multiplexed-stream') || !(await client.json<ContainerDetail>('GET', `${path}/json`)).Config.Tty;
  await print(response, framed);
  return 0;
}

/** Throws UsageError for what is no time and no number. */
export function logsQuery({ follow, since, until, tail: wanted, timestamps }: Omit<LogsFlags, 'console'>, nowMs: number): Record<string, QueryValue> {
  const tail = wanted === undefined || wanted === 'all' ? 'all' : Math.max(-1, toInteger('--tail', wanted));
  return {
    stdout: 1,
    stderr: 1,
    follow: follow === true ? 1 : 0,
    timestamps: timestamps === true ? 1 : 0,
    tail: tail === -1 ? 'all' : tail,
    since: since === undefined ? undefined : toUnixTime('--since', since, nowMs),
    until: until === undefined ? undefined : toUnixTime('--until', until, nowMs),
  };
}

/** The machine's console: bytes as they are, whatever they hold. */
async function consoleOutput(context: Context, name: string, flags: LogsFlags): Promise<number> {
  const { tail, since, until, timestamps } = flags;
  if (tail !== undefined || since !== undefined || until !== undefined || timestamps === true) throw new UsageError('--console goes with -f only: a console has no times');
  const client = await context.client();
  await print(await client.stream('GET', `/cluster/containers/${segment(name)}/console`, { query: { follow: flags.follow === true ? 1 : 0 } }), false);
  return 0;
}

async function print(response: AsyncIterable<Buffer>, framed: boolean): Promise<void> {
  const blocked: NodeJS.WriteStream[] = [];
  const write = (stream: NodeJS.WriteStream, chunk: Uint8Array) => void (stream.write(chunk) || blocked.push(stream));
  const frames = framed ? new Demultiplexer((stream, chunk) => write(stream === 'stdout' ? process.stdout : process.stderr, chunk)) : null;
  try {
    for await (const chunk of response) {
      if (frames === null) write(process.stdout, chunk);
      else frames.push(chunk);
      for (const stream of blocked.splice(0)) if (stream.writableNeedDrain) await once(stream, 'drain');
    }
  } catch (error) {
    throw isSystemError(error) ? new UnreachableError('the connection to the API broke', { hint: 'pouch logs --since continues', cause: error }) : error;
  }
}
