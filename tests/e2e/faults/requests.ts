// Requests about the containers of one runtime, as the tests that look for leaks make them, and raw connections that are there to be cut.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestCluster } from '../../fixtures/cluster.ts';
import { demand, readJson } from './client.ts';

export class Requests {
  readonly cluster: TestCluster;
  /** Of every container that is made. */
  readonly runtime: string;

  constructor(cluster: TestCluster, runtime: string) {
    this.cluster = cluster;
    this.runtime = runtime;
  }

  async post<T = unknown>(path: string, body?: unknown, allow?: readonly number[]): Promise<T> {
    return await demand<T>(this.cluster.socket, 'POST', path, { ...(body === undefined ? {} : { body }), ...(allow === undefined ? {} : { allow }) });
  }

  /** What a create is asked with: busybox without a network, and what is given over that. */
  body(settings: Record<string, unknown> = {}, hostConfig: object = {}): object {
    return { Image: 'busybox', Cmd: ['true'], ...settings, HostConfig: { NetworkMode: 'none', Runtime: this.runtime, ...hostConfig } };
  }

  async created(name: string, settings: Record<string, unknown> = {}, hostConfig: object = {}): Promise<string> {
    return (await this.post<{ Id: string }>(`/containers/create?name=${name}`, this.body(settings, hostConfig))).Id;
  }

  async start(id: string): Promise<void> {
    await this.post(`/containers/${id}/start`);
  }

  /** The exit code. */
  async wait(id: string): Promise<number> {
    return (await this.post<{ StatusCode: number }>(`/containers/${id}/wait`)).StatusCode;
  }

  async remove(id: string): Promise<void> {
    await demand(this.cluster.socket, 'DELETE', `/containers/${id}?force=1`, { allow: [204, 404] });
  }

  async state(id: string): Promise<{ readonly Status: string; readonly Running: boolean; readonly Pid: number; readonly ExitCode: number; readonly Error: string }> {
    return (await readJson<{ State: Awaited<ReturnType<Requests['state']>> }>(this.cluster.socket, `/containers/${id}/json`)).State;
  }

  /** A raw connection on which a request has been sent; nothing has been read. */
  dial(method: string, path: string, { body = '', upgrade = false }: { body?: string; upgrade?: boolean } = {}): Socket {
    const socket = connect({ path: this.cluster.socket, allowHalfOpen: true });
    socket.on('error', () => undefined); // these connections are there to be cut
    const more = upgrade ? 'Connection: Upgrade\r\nUpgrade: tcp\r\n' : '';
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: pouch\r\n${more}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    return socket;
  }
}

/** Waits for the first bytes, at most. */
export async function firstBytes(socket: Socket): Promise<void> {
  await Promise.race([once(socket, 'data'), once(socket, 'close'), delay(10_000, undefined, { ref: false })]);
}
