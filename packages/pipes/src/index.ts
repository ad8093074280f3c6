// Calls and byte pipes between apis and hosts over core NATS: nothing here is in the log, nothing here is remembered.
export { HostClient, type CallOptions, type ClientPipe } from './client.ts';
export { HostUnreachable, PipeBroken, RemoteError } from './errors.ts';
export { pingAfterMs, silenceLimitMs, windowBytes } from './pipe.ts';
export { maxCalls, maxPipes, serveHost, type CallHandlers, type HostServer, type PipeHandlers, type ServerPipe } from './server.ts';
