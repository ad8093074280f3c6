// Getting a name for a container: claimed in the cluster's bucket, taken over from holders that are no more. See contracts/claims.ts.
import { randomInt } from 'node:crypto';
import { claimStaleAfterMs, type NameClaim } from '@pouch/contracts';
import { isContainerName, type Container, type ContainerId } from '@pouch/domain';
import type { Claim } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { HttpError } from '../errors.ts';

type NameDeps = Pick<Deps, 'names' | 'projection' | 'clock' | 'log'>;

/** How long the projection may take to show the log's end, before a claim is believed. */
const showMs = 5_000;

const adjectives = ('amber brave bright calm clever cosy crisp daring eager fair fleet fond frosty gentle golden grand happy hazel honest jolly keen kind lively lucid lunar mellow merry '
  + 'mild misty nimble noble pearly placid plucky proud quiet quick rosy rustic sage serene sharp shiny silver sleek smart snowy solid spry steady stout sunny swift tidy tranquil trusty vivid warm '
  + 'wise witty zesty').split(' ');
const nouns = ('acorn anchor aspen badger beacon birch bison brook cedar clover comet coral crane cricket delta dolphin dune ember falcon fern finch fjord fox gecko glacier grove harbor heron '
  + 'ibis iris island jay juniper koala lagoon lantern larch lark lemur lily lynx maple marten meadow moth narwhal oak ocelot orca orchid osprey otter owl panda pebble pelican pine plover puffin '
  + 'quail raven reef ridge robin salmon sparrow spruce stork sycamore tern thistle tiger tulip tundra turtle violet walrus willow wombat wren yak zebra').split(' ');

const maxTries = 8;

/** A name given by a person, checked; without Docker's leading slash. */
export function checkedName(text: string): string {
  const name = text.startsWith('/') ? text.slice(1) : text;
  if (!isContainerName(name)) throw new HttpError(400, `name: Invalid container name (${name.slice(0, 80)}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, from 2 to 255 characters`);
  return name;
}

/** A name that is ours; `revision` to give it back. */
export interface OwnName {
  readonly name: string;
  readonly revision: number;
}

/** Claims the name that was asked for; 409 with Docker's words where a container has it. */
export async function claimName(deps: NameDeps, name: string, containerId: ContainerId): Promise<OwnName> {
  const outcome = await tryClaim(deps, name, containerId);
  if (outcome.ok) return { name, revision: outcome.revision };
  throw new HttpError(409, `Conflict. The container name "/${name}" is already in use by container "${outcome.holder}". You have to remove (or rename) that container to be able to reuse that name.`);
}

/** Claims a pleasant name that nobody has. */
export async function claimMadeUpName(deps: NameDeps, containerId: ContainerId): Promise<OwnName> {
  for (let attempt = 0; attempt < maxTries; attempt++) {
    const plain = `${adjectives[randomInt(adjectives.length)]}_${nouns[randomInt(nouns.length)]}`;
    const name = attempt < 2 ? plain : `${plain}${randomInt(100_000)}`;
    const outcome = await tryClaim(deps, name, containerId);
    if (outcome.ok) return { name, revision: outcome.revision };
  }
  return await claimName(deps, containerId.slice(0, 32), containerId);
}

/** Gives back the name that a container has no more. */
export async function releaseName({ names }: Pick<Deps, 'names'>, name: string, containerId: ContainerId): Promise<void> {
  const claim = await names.get(name);
  if (claim?.value?.containerId === containerId) await names.release(name, claim.revision);
}

type Tried = { readonly ok: true; readonly revision: number } | { readonly ok: false; readonly holder: string };

async function tryClaim(deps: NameDeps, name: string, containerId: ContainerId): Promise<Tried> {
  const claim: NameClaim = { containerId, claimedAtMs: deps.clock.now() };
  let outcome = await deps.names.claim(name, claim);
  for (let round = 0; !outcome.ok && round < maxTries; round++) {
    const { taken } = outcome;
    if (taken.value !== null && taken.value.containerId === containerId) return { ok: true, revision: taken.revision }; // an earlier try went through
    // A projection that is behind (its api has just come back) may not know the holder yet: only one that shows the log's end is a ground to take over.
    if (holds(deps, name, taken) || !(await showsEnd(deps)) || holds(deps, name, taken)) break;
    outcome = await deps.names.takeOver(name, claim, taken.revision);
  }
  return outcome.ok ? outcome : { ok: false, holder: outcome.taken.value?.containerId ?? 'unknown' };
}

async function showsEnd({ log, projection }: NameDeps): Promise<boolean> {
  const { lastSeq } = await log.identity();
  return await projection.waitForSeq(lastSeq, { timeoutMs: showMs }).then(() => true, () => false);
}

/** Whether a claim stands: its container is there under that name, or may still come to be. */
function holds({ projection, clock }: Pick<Deps, 'projection' | 'clock'>, name: string, { value }: Claim<NameClaim>): boolean {
  if (value === null) return true; // nobody's that we know: not ours to take
  const { containerId, claimedAtMs } = value;
  const young = clock.now() - claimedAtMs < claimStaleAfterMs;
  const container = projection.present.container(containerId)?.state;
  // A rename holds two names for a moment.
  if (container !== undefined) return container.name === name || isHandedOver(container, name) || young;
  const placement = projection.present.placement(containerId)?.state;
  // A host that rejected it has removed it, but it is placed again, now or when a scheduler is there.
  const last = projection.history.lastContainer(containerId)?.state;
  if (last?.status === 'removed' && isHandedOver(last, name)) return true;
  if (last?.status === 'removed' && last.reason.kind !== 'rejected') return false;
  return placement === undefined ? young : placement.status !== 'refused';
}

/** The name of a container that has been replaced is its successor's, before that has claimed it. */
function isHandedOver({ replaced }: Container, name: string): boolean {
  return replaced !== undefined && !replaced.requested && replaced.name === name;
}
