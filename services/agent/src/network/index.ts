// The network of this host: one bridge, an address and published ports for each container that asks for it, by CNI plugins in namespaces of our own.
// Attaching and detaching are idempotent and leave nothing half done.
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, NetworkAttachment } from '@pouch/domain';
import type { NetworkDeps, NetworkRoom } from '../rooms.ts';
import { Attachments, type AttachmentRecord } from './attachments.ts';
import { Cni, cniVersion, type CniResult } from './cni.ts';
import { ensureFirewall } from './firewall.ts';
import { Ports } from './ports.ts';

interface Begun {
  readonly netnsPath: string;
  readonly published: NetworkAttachment['ports'];
}

export function createNetwork({ config, sys, logger }: NetworkDeps): NetworkRoom {
  const { bridge, subnet, cniDirs, path, runDir } = config;
  const attachments = new Attachments(join(runDir, 'network'));
  const cni = new Cni(cniDirs, path);
  const ports = new Ports();
  const addresses = join(runDir, 'addresses');
  /** Namespaces that were made in this life and have no network yet. */
  const begun = new Map<string, Begun>();
  let prepared: Promise<void> | null = null;

  const netnsOf = (id: string) => join(runDir, 'netns', id);

  const bridgeConfig = {
    name: bridge, type: 'bridge', bridge, isGateway: true, ipMasq: false, hairpinMode: true,
    ipam: { type: 'host-local', ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }], dataDir: addresses },
  };
  const portsConfig = (published: NetworkAttachment['ports'], prevResult?: CniResult) => ({
    name: bridge, type: 'portmap', capabilities: { portMappings: true }, snat: true,
    runtimeConfig: { portMappings: published.map(({ containerPort, protocol, hostIp, hostPort }) => ({ containerPort, protocol, hostPort, hostIP: hostIp === '0.0.0.0' ? '' : hostIp })) },
    ...(prevResult === undefined ? {} : { prevResult }),
  });

  /** Once per agent, and again after a failure: ports in use before, and the rules of the bridge. */
  const prepare = async () => {
    for (const id of await attachments.ids()) ports.adopt((await attachments.read(id))?.ports ?? []);
    await ensureFirewall({ bridge, subnet, path });
  };
  const ready = async () => {
    prepared ??= prepare();
    try {
      await prepared;
    } catch (error) {
      prepared = null;
      throw error;
    }
  };

  const detach = async (id: string, { shared } = { shared: false }): Promise<void> => {
    begun.delete(id);
    const record = await attachments.read(id);
    if (record === null) return;
    const netnsPath = existsSync(record.netnsPath) ? record.netnsPath : '';
    // The namespace may be gone (a reboot, a crash): addresses and rules are given back all the same.
    if (record.ports.length > 0) await undo(id, 'portmap', () => cni.call({ command: 'DEL', containerId: id, netnsPath, config: portsConfig(record.ports) }));
    // With the namespace its interface goes; what is left for the plugins is to give the address back, which needs none of their processes where it is known.
    const freed = !shared && record.attachment !== null && (await freeAddress(join(addresses, bridge), record.attachment.ipAddress, id));
    if (!freed) await undo(id, 'bridge', () => cni.call({ command: 'DEL', containerId: id, netnsPath, config: bridgeConfig }));
    await sys.deleteNetns(record.netnsPath);
    await attachments.remove(id);
    ports.release(record.ports);
  };

  const undo = async (id: string, plugin: string, step: () => Promise<unknown>) => {
    try {
      await step();
    } catch (error) {
      logger.warn({ containerId: id, plugin, err: error }, 'a network plugin could not clean up');
    }
  };

  /** Ports and namespace, without a network in it yet. */
  const begin = async ({ id, spec }: Container): Promise<Begun> => {
    const netnsPath = netnsOf(id);
    const published = await ports.take(spec);
    // Written before anything is made: whatever happens from here on is found and undone.
    await attachments.write(id, { netnsPath, ports: published, attachment: null });
    await mkdir(join(runDir, 'netns'), { recursive: true, mode: 0o711 });
    await sys.addNetns(netnsPath);
    return { netnsPath, published };
  };

  const add = async (id: string, { netnsPath, published }: Begun): Promise<AttachmentRecord> => {
    const result = await cni.call({ command: 'ADD', containerId: id, netnsPath, config: bridgeConfig });
    if (result === null) throw new Error('the bridge plugin answered nothing');
    if (published.length > 0) await cni.call({ command: 'ADD', containerId: id, netnsPath, config: portsConfig(published, { ...result, cniVersion }) });
    const record = { netnsPath, ports: published, attachment: toAttachment(result, published) };
    await attachments.write(id, record);
    return record;
  };

  return {
    namespacePath: netnsOf,
    async prepare(container) {
      await ready();
      const { id } = container;
      if (begun.has(id)) return;
      const present = await attachments.read(id);
      if (present !== null && present.attachment !== null && existsSync(present.netnsPath)) return;
      if (present !== null) await detach(id);
      try {
        begun.set(id, await begin(container));
      } catch (error) {
        await detach(id);
        throw error;
      }
    },
    async attach(container) {
      await ready();
      const ours = begun.get(container.id);
      begun.delete(container.id);
      const present = ours !== undefined ? null : await attachments.read(container.id);
      if (present !== null && present.attachment !== null && existsSync(present.netnsPath)) return { netnsPath: present.netnsPath, attachment: present.attachment };
      if (present !== null) await detach(container.id);
      try {
        const { netnsPath, attachment } = await add(container.id, ours ?? (await begin(container)));
        return { netnsPath, attachment: attachment as NetworkAttachment };
      } catch (error) {
        await detach(container.id);
        throw error;
      }
    },
    detach,
    gateway: () => firstAddress(subnet),
    async cleanupOrphans(known) {
      for (const id of await attachments.ids()) {
        if (known.has(id)) continue;
        logger.info({ containerId: id }, 'network of an unknown container removed');
        await detach(id);
      }
    },
  };
}

/** Gives an address back as the plugin host-local does: its reservation is a file, named by the address, that begins with the container's id. */
async function freeAddress(dir: string, ipAddress: string | null, id: string): Promise<boolean> {
  if (ipAddress === null) return false;
  const path = join(dir, ipAddress);
  try {
    if (!(await readFile(path, 'utf8')).startsWith(id)) return false;
    await rm(path);
    return true;
  } catch {
    return false; // another layout, or gone already: the plugin itself is asked
  }
}

function toAttachment({ ips = [], interfaces = [] }: CniResult, ports: NetworkAttachment['ports']): NetworkAttachment {
  const [address = '', prefix = ''] = (ips[0]?.address ?? '').split('/');
  const inside = interfaces.find((one) => one.sandbox !== undefined && one.sandbox !== '');
  return { ipAddress: address || null, prefixLength: prefix === '' ? null : Number(prefix), gateway: ips[0]?.gateway ?? null, macAddress: inside?.mac ?? null, ports };
}

/** `10.88.0.0/16` → `10.88.0.1`, which the bridge plugin gives to the bridge. */
function firstAddress(subnet: string): string | null {
  const [network = '', bits = ''] = subnet.split('/');
  const parts = network.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) return null;
  const mask = Number(bits) === 0 ? 0 : (0xffff_ffff << (32 - Number(bits))) >>> 0;
  const first = ((parts.reduce((sum, part) => sum * 256 + part, 0) & mask) >>> 0) + 1;
  return [24, 16, 8, 0].map((shift) => (first >>> shift) & 255).join('.');
}
