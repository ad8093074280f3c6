// By which door each connection came in: noted when it is made, for a connection that is gone no longer tells. Knows no roles.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** `unix`: the socket file, whose mode is its lock. `plain`: TCP on a loopback address. `tls`: TCP with TLS. */
export interface Arrival {
  readonly door: 'unix' | 'plain' | 'tls';
  /** Of the other end; empty for the socket file. */
  readonly address: string;
}

const arrivals = new WeakMap<object, Arrival>();

/** Every connection of `server` is noted before its first request. */
export function noteArrivals(server: Server, door: Arrival['door']): void {
  server.on(door === 'tls' ? 'secureConnection' : 'connection', (socket: Socket) => arrivals.set(socket, { door, address: socket.remoteAddress ?? '' }));
}

/** Null for a connection of no door of ours: it is to be trusted with nothing. */
export function arrivalOf(socket: object): Arrival | null {
  return arrivals.get(socket) ?? null;
}
