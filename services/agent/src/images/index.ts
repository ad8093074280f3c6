// The images of this host: kept by containerd, told to the log. Every change takes its turn, then containerd and the log are compared.
import { ImageError, nameImage, parseReference } from '@pouch/containerd';
import type { HostCalls } from '@pouch/contracts';
import type { ImageArrival } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import type { ImagesDeps, ImagesRoom } from '../rooms.ts';
import { ContentServer } from './content.ts';
import { Ensurer } from './ensure.ts';
import { answering, noSuchImage } from './failures.ts';
import { Inventory, isUnnamed } from './inventory.ts';
import { Peers } from './peers.ts';
import { parseRegistries } from './registries.ts';
import { pruneImages, removeImage, type RemovalDeps } from './removal.ts';
import { Reports } from './reports.ts';
import { Transfers } from './transfers.ts';
import { Turns } from './turns.ts';

/** Throws ConfigError where the registries' configuration is wrong. */
export function createImages({ config, containerd, log, pipesLink, logger, now, used, gone }: ImagesDeps): ImagesRoom {
  const registries = parseRegistries(config.registries);
  const startedAtMs = now();
  const turns = new Turns();
  const inventory = new Inventory(containerd, logger);
  const reports = new Reports({ log, logger, hostId: config.hostId, now, inventory });
  const arrived = (names: readonly string[], arrival: ImageArrival, actor: string): Promise<number> =>
    turns.take(() => reports.tell({ arrivals: new Map(names.map((name) => [name, arrival])), actor }));
  const peers = new Peers({ link: pipesLink, hostId: config.hostId });
  const content = new ContentServer(containerd);
  const ensurer = new Ensurer({
    containerd, registries, inventory, peers, logger, hostId: config.hostId,
    // The container is not kept waiting for a log that is away: the comparison is made again when it is back.
    arrived: (name) => arrived([name], 'pulled', 'agent').then(() => undefined, (error: unknown) => { logger.warn({ image: name, err: error }, 'an image that came is told later'); }),
  });
  const transfers = new Transfers({ containerd, registries, inventory, arrived });
  const removal: RemovalDeps = { containerd, inventory, used, forget: (id) => {
    ensurer.forget(id);
    gone();
  } };

  /** A change, and what the log is told of it, in one turn. Part of a change that fails is told, too. */
  const changing = <T>(actor: string, arrivals: ReadonlyMap<string, ImageArrival>, work: () => Promise<T>): Promise<T & { seq: number }> =>
    answering(() => turns.take(async () => {
      let result: T;
      try {
        result = await work();
      } catch (error) {
        await reports.tell({ actor }).catch((failure: unknown) => { logger.warn({ err: failure }, 'images are told when the log is back again'); });
        throw error;
      }
      return { ...result, seq: await reports.tell({ arrivals, actor }) };
    }));

  const tag = async ({ source, name, actor }: HostCalls['image.tag']['params']): Promise<HostCalls['image.tag']['result']> => {
    const { canonical } = checkedName(name);
    return await changing(actor, new Map([[canonical, 'tagged']]), async () => {
      const images = await inventory.list();
      const found = images.find((image) => image.name === source) ?? images.find((image) => image.record.id === source);
      if (found === undefined) throw noSuchImage(source);
      await nameImage(containerd, { name: canonical, target: found.target, imageId: found.record.id });
      return {};
    });
  };

  log.onStateChange((available) => {
    if (!available || !reports.behind) return;
    turns.take(() => reports.tell({ actor: 'agent' })).catch((error: unknown) => { logger.warn({ err: error }, 'images are told when the log is back again'); });
  });

  return {
    ensure: (pin, holders) => ensurer.ensure(pin, holders),
    calls: {
      'image.tag': tag,
      'image.remove': ({ name, force, actor }) => changing(actor, new Map(), () => removeImage(removal, { name, force })),
      'image.prune': ({ actor, ...wanted }) => changing(actor, new Map(), () => pruneImages(removal, wanted)),
    },
    pipes: {
      'image.pull': (params, pipe) => answering(() => transfers.pull(params, pipe)),
      'image.load': (params, pipe) => answering(() => transfers.load(params, pipe)),
      'content.read': (params, pipe) => content.read(params, pipe),
    },
    announce: () => turns.take(async () => {
      // Leases of an agent that was killed hold half-pulled layers for a day.
      for (const lease of await containerd.leases.list()) {
        if (lease.id.startsWith('lease-') && lease.createdAt !== null && Date.parse(lease.createdAt) < startedAtMs) await containerd.leases.delete(lease.id);
      }
      reports.forget();
      await reports.tell({ actor: 'agent' });
    }),
    close: () => { peers.close(); },
  };
}

/** A new name: with a tag, not a digest, which cannot be given. */
function checkedName(name: string): { canonical: string } {
  try {
    const reference = parseReference(name);
    if (reference.digest === null && !isUnnamed(name)) return reference;
  } catch (error) {
    if (error instanceof ImageError) throw new OperatingError('bad-parameter', error.message, { cause: error });
    throw error;
  }
  throw new OperatingError('bad-parameter', `refusing to create a tag with a digest reference: ${name}`);
}
