// Tagging, removing and pruning: asked of every host that is concerned, then waited for until the projection shows it.
import { canonicalReference, parseReference, type DockerImageRemoved, type DockerImagesPruned } from '@pouch/contracts';
import type { Deps } from '../deps.ts';
import { badField, failed } from '../errors.ts';
import { parseFilters } from '../http/filters.ts';
import { readFlag, readUntil } from './list.ts';
import { requireImage } from './resolve.ts';
import { hostsUp, showMs } from './transfer.ts';

/** A removal waits for containerd's garbage collection. */
const removeMs = 150_000;

type Asking = { readonly actor: string; readonly signal: AbortSignal };

export async function tagImage(deps: Deps, name: string, { repo, tag }: { readonly repo: string; readonly tag: string | undefined }, { actor, signal }: Asking): Promise<void> {
  const target = newName(repo, tag);
  const found = requireImage(deps.projection, name);
  await askAll(deps, found.names.map(({ hostId }) => hostId), signal, (hostId) => deps.hosts.call(hostId, 'image.tag', { source: found.id, name: target, actor }));
}

/** `repo` may hold a tag, which `tag` replaces. */
function newName(repo: string, tag: string | undefined): string {
  const parsed = parseReference(repo);
  if (parsed === null) throw badField('repo', `invalid reference format: ${JSON.stringify(repo.slice(0, 120))}`);
  if (parsed.digest !== null) throw badField('repo', 'refusing to create a tag with a digest reference');
  if (tag === undefined || tag === '') return canonicalReference(parsed);
  const whole = parseReference(`${parsed.domain}/${parsed.path}:${tag}`);
  if (whole === null || whole.tag !== tag) throw badField('tag', `invalid tag format: ${JSON.stringify(tag.slice(0, 160))}`);
  return canonicalReference(whole);
}

export async function removeImage(deps: Deps, name: string, force: boolean, { actor, signal }: Asking): Promise<DockerImageRemoved> {
  const found = requireImage(deps.projection, name);
  const { askedName } = found;
  const concerned = askedName === null ? found.names : deps.projection.present.imagesByName(askedName).map(({ state }) => state);
  const answers = await askAll(deps, concerned.map(({ hostId }) => hostId), signal, (hostId) => deps.hosts.call(hostId, 'image.remove', { name: askedName ?? found.id, force, actor }, { timeoutMs: removeMs }));
  return removedOf(answers);
}

export async function pruneImages(deps: Deps, filterText: string | undefined, { actor, signal }: Asking): Promise<DockerImagesPruned> {
  const filters = parseFilters(filterText, ['dangling', 'label', 'label!', 'until']);
  const all = readFlag('filters.dangling', filters.get('dangling')) === false;
  const untils = readUntil(filters.get('until'), deps.clock.now());
  const params = { all, untilMs: untils.length === 0 ? null : Math.min(...untils), labels: [...(filters.get('label') ?? [])], notLabels: [...(filters.get('label!') ?? [])], actor };
  const answers = await askAll(deps, hostsUp(deps), signal, (hostId) => deps.hosts.call(hostId, 'image.prune', params, { timeoutMs: removeMs }));
  const removed = removedOf(answers);
  return { ImagesDeleted: removed.length === 0 ? null : removed, SpaceReclaimed: answers.reduce((sum, { reclaimedBytes }) => sum + reclaimedBytes, 0) };
}

function removedOf(answers: readonly { readonly untagged: readonly string[]; readonly deleted: readonly string[] }[]): DockerImageRemoved {
  const untagged = new Set(answers.flatMap((answer) => answer.untagged));
  const deleted = new Set(answers.flatMap((answer) => answer.deleted));
  return [...[...untagged].map((Untagged) => ({ Untagged })), ...[...deleted].map((Deleted) => ({ Deleted }))];
}

/** Asks each host once and waits for all. A host that fails makes the whole fail, after the projection has seen what the others did. */
async function askAll<T extends { readonly seq: number }>(deps: Deps, hostIds: readonly string[], signal: AbortSignal, ask: (hostId: string) => Promise<T>): Promise<T[]> {
  const { projection } = deps;
  const up = new Set(hostsUp(deps));
  const concerned = [...new Set(hostIds)].filter((hostId) => up.has(hostId));
  if (concerned.length === 0) throw failed('no-hosts', `the hosts that have the image are not up: ${[...new Set(hostIds)].join(', ')}`);
  const outcomes = await Promise.allSettled(concerned.map(ask));
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  await projection.waitForSeq(Math.max(0, ...answers.map(({ seq }) => seq)), { timeoutMs: showMs, signal });
  const refusal = outcomes.find((outcome) => outcome.status === 'rejected');
  if (refusal !== undefined) throw refusal.reason;
  return answers;
}
