// Where the server is reached: the unix socket, and TCP where configured. Owns the listening sockets and closes them.
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { OperatingError } from '@pouch/process';
import type { TcpConfig } from './config.ts';
import { createServer, type ApiServer } from './server.ts';

export interface Listening {
  /** Of the TCP server; null where there is none. */
  readonly tcpPort: number | null;
  /** Ends it: nothing new is accepted, taken-over connections end at once, answers under way get a moment. */
  close(): Promise<void>;
}

/** Cannot listen where it should; `code` is `listen`. */
export class ListenError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('listen', message, { cause });
  }
}

/** Root and the socket's group. */
const socketMode = 0o660;
const probeMs = 2_000;
const lingerMs = 1_000;

export async function listen({ handler, hijacked }: Pick<ApiServer, 'handler' | 'hijacked'>, { socket, tcp }: { readonly socket: string; readonly tcp: TcpConfig | null }): Promise<Listening> {
  const servers: Server[] = [];
  try {
    servers.push(await listenOnSocket(createServer(handler, hijacked), socket));
    if (tcp !== null) servers.push(await listenOnTcp(createServer(handler, hijacked, tcp.tls), tcp));
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  const address = servers[1]?.address() as AddressInfo | undefined;
  return {
    tcpPort: address?.port ?? null,
    async close() {
      const closed = servers.map((server) => new Promise<void>((resolve) => { server.close(() => resolve()); }));
      hijacked.closeAll();
      for (const server of servers) server.closeIdleConnections();
      const timer = setTimeout(() => { for (const server of servers) server.closeAllConnections(); }, lingerMs);
      await Promise.all(closed);
      clearTimeout(timer);
    },
  };
}

async function listenOnSocket(server: Server, path: string): Promise<Server> {
  await mkdir(dirname(path), { recursive: true });
  await removeStale(path);
  // Between listen and chmod nobody else may connect.
  const before = process.umask(0o117);
  try {
    server.listen({ path });
    await once(server, 'listening');
  } catch (error) {
    throw new ListenError(`cannot listen on ${path}`, error);
  } finally {
    process.umask(before);
  }
  await chmod(path, socketMode);
  return server;
}

/** A socket file that nobody answers on is of a process that is no more. */
async function removeStale(path: string): Promise<void> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new ListenError(`cannot look at ${path}`, error);
  });
  if (stat === null) return;
  if (!stat.isSocket()) throw new ListenError(`${path} is there and is no socket: it is left alone`);
  if (await answers(path)) throw new ListenError(`another process serves on ${path}`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const probe = connect({ path });
    const end = (yes: boolean): void => {
      probe.destroy();
      resolve(yes);
    };
    // A server that is too busy to accept is a server.
    probe.setTimeout(probeMs, () => end(true));
    probe.once('connect', () => end(true));
    probe.once('error', () => end(false));
  });
}

async function listenOnTcp(server: Server, { host, port }: TcpConfig): Promise<Server> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
    return server;
  } catch (error) {
    throw new ListenError(`cannot listen on ${host}:${port}`, error);
  }
}
