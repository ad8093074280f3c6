// Taking names and images away, by Docker's rules: what a container stands on stays. It tells nobody; the room compares afterwards.
import { familiarName, imageUsage, isContainerdError, type Containerd } from '@pouch/containerd';
import type { HostCalls } from '@pouch/contracts';
import type { ImagesDeps } from '../rooms.ts';
import { conflict, noSuchImage } from './failures.ts';
import { isUnnamed, type Inventory, type Named } from './inventory.ts';

export interface RemovalDeps {
  readonly containerd: Containerd;
  readonly inventory: Inventory;
  readonly used: ImagesDeps['used'];
  /** An image is about to go. */
  readonly forget: (imageId: string) => void;
}

export interface Removed {
  readonly untagged: string[];
  readonly deleted: string[];
}

type User = ReturnType<ImagesDeps['used']>[number];

const short = (id: string): string => id.replace('sha256:', '').slice(0, 12);

/** Rejects with `not-found`, and with `conflict` where the image is in use or has names that were not meant. */
export async function removeImage(deps: RemovalDeps, { name, force }: Pick<HostCalls['image.remove']['params'], 'name' | 'force'>): Promise<Removed> {
  const images = await deps.inventory.list();
  const byId = isUnnamed(name);
  const asked = images.find((image) => (byId ? image.record.id === name : image.name === name));
  if (asked === undefined) throw noSuchImage(byId ? name : familiarName(name));
  const { id } = asked.record;
  const same = images.filter(({ record }) => record.id === id);
  const names = same.filter((image) => !isUnnamed(image.name));
  const users = deps.used().filter(({ image }) => image.id === id);
  return byId ? await removeById(deps, { id, same, names, users, force }) : await removeByName(deps, { asked, same, names, users, force });
}

async function removeByName(deps: RemovalDeps, { asked, same, names, users, force }: { asked: Named; same: readonly Named[]; names: readonly Named[]; users: readonly User[]; force: boolean }): Promise<Removed> {
  const { id } = asked.record;
  const shown = familiarName(asked.name);
  const [user] = users;
  if (names.length > 1) {
    await drop(deps.containerd, asked.name);
    return { untagged: [shown], deleted: [] };
  }
  if (user !== undefined && !force) throw conflict(`unable to remove repository reference "${shown}" (must force) - container ${short(user.containerId)} is using its referenced image ${short(id)}`);
  if (users.some(({ running }) => running)) {
    // Not even force takes the image from under a running container: it only loses its name.
    await deps.containerd.images.put({ name: id, target: asked.target });
    await drop(deps.containerd, asked.name);
    return { untagged: [shown], deleted: [] };
  }
  await dropImage(deps, id, same);
  return { untagged: [shown], deleted: [id] };
}

async function removeById(deps: RemovalDeps, { id, same, names, users, force }: { id: string; same: readonly Named[]; names: readonly Named[]; users: readonly User[]; force: boolean }): Promise<Removed> {
  const running = users.find((user) => user.running);
  if (running !== undefined) throw conflict(`unable to delete ${short(id)} (cannot be forced) - image is being used by running container ${short(running.containerId)}`);
  const [stopped] = users;
  if (stopped !== undefined && !force) throw conflict(`unable to delete ${short(id)} (must be forced) - image is being used by stopped container ${short(stopped.containerId)}`);
  if (names.length > 1 && !force) throw conflict(`unable to delete ${short(id)} (must be forced) - image is referenced in multiple repositories`);
  await dropImage(deps, id, same);
  return { untagged: names.map(({ name }) => familiarName(name)), deleted: [id] };
}

/** Removes images that no container stands on: those without a name, or all. `reclaimedBytes`: layers that no image left has. */
export async function pruneImages(deps: RemovalDeps, { all, untilMs, labels, notLabels }: Omit<HostCalls['image.prune']['params'], 'actor'>): Promise<Removed & { reclaimedBytes: number }> {
  const images = await deps.inventory.list();
  const used = new Set<string>(deps.used().map(({ image }) => image.id));
  const going = [...Map.groupBy(images, ({ record }) => record.id)].filter(([id, same]) => {
    const { createdAtMs, config } = same[0]!.record;
    return !used.has(id) && (all || same.every(({ name }) => isUnnamed(name))) && (untilMs === null || createdAtMs < untilMs)
      && labels.every((label) => hasLabel(config.labels, label)) && !notLabels.some((label) => hasLabel(config.labels, label));
  });
  const goingIds = new Set<string>(going.map(([id]) => id));
  const staying = images.filter(({ record }) => !goingIds.has(record.id));
  const reclaimedBytes = going.length === 0 ? 0 : await bytesOnlyIn(deps.containerd, images.filter(({ record }) => goingIds.has(record.id)), staying);
  const removed: Removed = { untagged: [], deleted: [] };
  for (const [id, same] of going) {
    await dropImage(deps, id, same);
    removed.untagged.push(...same.filter(({ name }) => !isUnnamed(name)).map(({ name }) => familiarName(name)));
    removed.deleted.push(id);
  }
  return { ...removed, reclaimedBytes };
}

/** `key` or `key=value`. */
function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  return at < 0 ? Object.hasOwn(labels, wanted) : Object.hasOwn(labels, wanted.slice(0, at)) && labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

async function bytesOnlyIn(containerd: Containerd, going: readonly Named[], staying: readonly Named[]): Promise<number> {
  const kept = new Set<string>();
  for (const { target } of staying) for (const { chainId } of (await imageUsage(containerd, target.digest)).layers) kept.add(chainId);
  const freed = new Map<string, number>();
  for (const { target } of going) {
    for (const { chainId, blobBytes, snapshotBytes } of (await imageUsage(containerd, target.digest)).layers) if (!kept.has(chainId)) freed.set(chainId, blobBytes + (snapshotBytes ?? 0));
  }
  return [...freed.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** All names of an image; containerd has collected it when this returns. */
async function dropImage({ containerd, forget }: RemovalDeps, id: string, same: readonly Named[]): Promise<void> {
  forget(id);
  for (const [at, { name }] of same.entries()) await drop(containerd, name, at === same.length - 1);
}

async function drop(containerd: Containerd, name: string, sync = false): Promise<void> {
  try {
    await containerd.images.delete(name, { sync });
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) throw error; // somebody else was faster
  }
}
