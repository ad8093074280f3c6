// Where the server is reached: the unix socket, and TCP where configured. Owns the listening sockets and closes them.
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { OperatingError, type Logger } from '@pouch/process';
import type { TcpConfig } from './config.ts';
import { createServer, type ApiServer } from './server.ts';
import { readTlsFiles, watchTlsFiles } from './tls-material.ts';

export interface Listening {
  /** Of the TCP server; null where there is none. */
  readonly tcpPort: number | null;
  /** Looks at the TLS files now, instead of within some seconds. */
  lookAtTlsFiles(): void;
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

export async function listen({ handler, hijacked, refusals }: Pick<ApiServer, 'handler' | 'hijacked' | 'refusals'>, { socket, tcp }: { readonly socket: string; readonly tcp: TcpConfig | null }, logger: Logger): Promise<Listening> {
  const servers: Server[] = [];
  try {
    servers.push(await listenOnSocket(createServer(handler, hijacked, 'unix'), socket));
    if (tcp !== null) servers.push(await listenOnTcp(createServer(handler, hijacked, tcp.tls === null ? 'plain' : { ...readTlsFiles(tcp.tls.files), clients: tcp.tls.clients }), tcp));
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  const tls = tcp?.tls ?? null;
  // Who fails the handshake never becomes a request: told here, for the audit.
  if (tls !== null) servers[1]?.on('tlsClientError', (_error: Error, peer: Socket) => {
    refusals.note(`tcp:${peer.remoteAddress ?? 'gone'}`, { status: 401, route: '(TLS handshake)', rule: 'credentials', reason: 'no certificate of the CA was shown, or it was no TLS' });
  });
  const watch = tls === null ? null : watchTlsFiles(tls.files, (material) => { (servers[1] as HttpsServer).setSecureContext({ ...material, minVersion: 'TLSv1.2' }); }, logger);
  const address = servers[1]?.address() as AddressInfo | undefined;
  return {
    tcpPort: address?.port ?? null,
    lookAtTlsFiles: () => watch?.look(),
    async close() {
      watch?.stop();
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
