// The agent's side: answers calls and serves pipes for one host.
import { setTimeout as delay } from 'node:timers/promises';
import { isDelivery, isPipeEnd, pipePrefix, type HostCallName, type HostCalls, type HostPipeName, type HostPipes, type NatsRole } from '@pouch/contracts';
import type { Logger } from '@pouch/process';
import type { Msg, NatsConnection } from 'nats';
import { Endpoint } from './endpoint.ts';
import { RemoteError, toWire } from './errors.ts';
import { decodeJson, encodeJson } from './frame.ts';
import type { Pipe } from './pipe.ts';

/** Calls that may be under way at once; more are refused. */
export const maxCalls = 256;
/** Pipes that one host serves at once; more are refused. */
export const maxPipes = 4_096;
/** For answers to leave at the end. */
const flushMs = 2_000;

export type CallHandlers = { readonly [N in HostCallName]?: (params: HostCalls[N]['params']) => Promise<HostCalls[N]['result']> };

/** The server's end: `accept()` says that it is open, `signal` that the client is gone. What the handler returns is the trailer. */
export type ServerPipe = Pick<Pipe, 'accept' | 'signal'> & Pipe;

export type PipeHandlers = { readonly [N in HostPipeName]?: (params: HostPipes[N]['params'], pipe: ServerPipe) => Promise<HostPipes[N]['trailer']> };

export interface HostServer {
  readonly openPipes: number;
  /** Ends the subscriptions and breaks the pipes that are open. */
  stop(): Promise<void>;
}

type Handler = (params: unknown, pipe: Pipe) => Promise<unknown>;

/** Serves `handlers` under the host's id until `stop`. A handler that throws an error with a `code` refuses with it. */
export function serveHost(connection: NatsConnection, hostId: string, handlers: { readonly calls: CallHandlers; readonly pipes: PipeHandlers }, { logger }: { readonly logger: Logger }): HostServer {
  const endpoint = new Endpoint(connection, pipePrefix({ kind: 'agent', hostId } as NatsRole));
  let calls = 0;

  const answer = async (message: Msg) => {
    if (isDelivery(message.reply)) return;
    const name = lastTokens(message.subject);
    const handler = Object.hasOwn(handlers.calls, name) ? (handlers.calls[name as HostCallName] as ((params: unknown) => Promise<unknown>) | undefined) : undefined;
    calls += 1;
    try {
      if (calls > maxCalls) throw new RemoteError('unavailable', `host ${hostId} has ${maxCalls} calls under way: try again`);
      if (handler === undefined) throw new RemoteError('unsupported', `host ${hostId} knows no call ${name}: its agent is of another version`);
      message.respond(encodeJson({ ok: await handler(parameters(message)) }));
    } catch (error) {
      logger.debug({ err: error, call: name }, 'call refused');
      message.respond(encodeJson({ error: toWire(error) }));
    } finally {
      calls -= 1;
    }
  };

  const open = async (message: Msg) => {
    const name = lastTokens(message.subject);
    if (!isPipeEnd(message.reply)) return; // nobody to talk to, or somebody who would have us say things elsewhere in our name
    const handler = Object.hasOwn(handlers.pipes, name) ? (handlers.pipes[name as HostPipeName] as Handler | undefined) : undefined;
    const full = endpoint.size >= maxPipes;
    const { pipe } = endpoint.add(message.reply);
    try {
      if (full) throw new RemoteError('unavailable', `host ${hostId} has ${maxPipes} pipes open: try again`);
      if (handler === undefined) throw new RemoteError('unsupported', `host ${hostId} knows no pipe ${name}: its agent is of another version`);
      await pipe.finish(await handler(parameters(message), pipe));
    } catch (error) {
      logger.debug({ err: error, pipe: name }, 'pipe ended with an error');
      pipe.fail(error);
    }
  };

  const subscriptions = [
    connection.subscribe(`host.${hostId}.call.>`, { callback: (error, message) => void (error === null && answer(message)) }),
    connection.subscribe(`host.${hostId}.pipe.>`, { callback: (error, message) => void (error === null && open(message)) }),
  ];
  return {
    get openPipes() {
      return endpoint.size;
    },
    async stop() {
      for (const subscription of subscriptions) subscription.unsubscribe();
      endpoint.close();
      // What is on its way to callers. A connection that is away has nothing of it: it rejects at the next dial, or keeps silent.
      if (!connection.isClosed()) await Promise.race([connection.flush().catch(() => undefined), delay(flushMs, undefined, { ref: false })]);
    },
  };
}

/** `host.<id>.call.container.top` → `container.top`. */
function lastTokens(subject: string): string {
  return subject.split('.').slice(3).join('.');
}

function parameters(message: Msg): unknown {
  const params = decodeJson(Buffer.from(message.data));
  if (typeof params !== 'object' || params === null) throw new RemoteError('bad-parameter', 'the parameters are no JSON object');
  return params;
}
