// Host ports of this host: which are asked for, which are chosen, and whether they are free. Opens sockets only to look.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { ContainerSpec, NetworkAttachment } from '@pouch/domain';
import { ImpossibleError } from '../containers/failures.ts';

export type PublishedPort = NetworkAttachment['ports'][number];

/** The dynamic range of RFC 6335, as Docker takes it. */
const firstDynamicPort = 49_153;
const lastDynamicPort = 65_535;
const maxTries = 100;

/** Ports that are promised to containers, over processes' heads: the firewall takes them without a socket. */
export class Ports {
  readonly #taken = new Set<string>();
  // Anywhere in the range: another cluster on this machine, whose firewall rules no socket shows, has begun elsewhere.
  #next = randomInt(firstDynamicPort, lastDynamicPort + 1);

  /** Takes every port that the spec publishes, choosing where it leaves the choice; all or none. Rejects with ImpossibleError `conflict`. */
  async take(spec: ContainerSpec): Promise<PublishedPort[]> {
    const asked = [...spec.ports];
    if (spec.publishAllPorts) {
      for (const exposed of spec.exposedPorts) {
        const [port = '', protocol = 'tcp'] = exposed.split('/');
        if (asked.some((one) => one.containerPort === Number(port) && one.protocol === protocol)) continue;
        asked.push({ containerPort: Number(port), protocol: protocol as 'tcp' | 'udp' | 'sctp', hostIp: '', hostPort: null });
      }
    }
    const taken: PublishedPort[] = [];
    try {
      for (const { containerPort, protocol, hostIp, hostPort } of asked) {
        const ip = hostIp === '' ? '0.0.0.0' : hostIp;
        taken.push({ containerPort, protocol, hostIp: ip, hostPort: hostPort === null ? await this.#choose(protocol, ip) : await this.#take(protocol, ip, hostPort) });
      }
    } catch (error) {
      this.release(taken);
      throw error;
    }
    return taken;
  }

  /** Marks ports that a container has already, after a restart of the agent. */
  adopt(ports: readonly PublishedPort[]): void {
    for (const port of ports) this.#taken.add(key(port.protocol, port.hostIp, port.hostPort));
  }

  release(ports: readonly PublishedPort[]): void {
    for (const port of ports) this.#taken.delete(key(port.protocol, port.hostIp, port.hostPort));
  }

  async #take(protocol: string, ip: string, port: number): Promise<number> {
    if (this.#isTaken(protocol, ip, port) || !(await isFree(protocol, ip, port))) throw new ImpossibleError('conflict', `Bind for ${ip}:${port} failed: port is already allocated`);
    this.#taken.add(key(protocol, ip, port));
    return port;
  }

  async #choose(protocol: string, ip: string): Promise<number> {
    for (let tries = 0; tries < maxTries; tries++) {
      const port = this.#next;
      this.#next = port >= lastDynamicPort ? firstDynamicPort : port + 1;
      if (this.#isTaken(protocol, ip, port) || !(await isFree(protocol, ip, port))) continue;
      this.#taken.add(key(protocol, ip, port));
      return port;
    }
    throw new ImpossibleError('conflict', `no free host port found in ${maxTries} tries`);
  }

  #isTaken(protocol: string, ip: string, port: number): boolean {
    if (this.#taken.has(key(protocol, ip, port)) || this.#taken.has(key(protocol, '0.0.0.0', port))) return true;
    return ip === '0.0.0.0' && [...this.#taken].some((one) => one.startsWith(`${protocol} ${port} `));
  }
}

const key = (protocol: string, ip: string, port: number) => `${protocol} ${port} ${ip}`;

/** Whether no process of the host listens there. SCTP has no socket in Node: it is taken at its word. */
async function isFree(protocol: string, ip: string, port: number): Promise<boolean> {
  if (protocol === 'sctp') return true;
  if (protocol === 'udp') {
    const socket = createSocket({ type: ip.includes(':') ? 'udp6' : 'udp4' });
    const bound = new Promise<boolean>((resolve) => socket.once('listening', () => resolve(true)).once('error', () => resolve(false)));
    socket.bind({ port, address: ip, exclusive: true });
    const free = await bound;
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    return free;
  }
  const server = createServer();
  const listening = new Promise<boolean>((resolve) => server.once('listening', () => resolve(true)).once('error', () => resolve(false)));
  server.listen({ port, host: ip, exclusive: true });
  const free = await listening;
  if (free) {
    server.close();
    await once(server, 'close');
  }
  return free;
}
