// What becomes of containers whose host is lost, drained or removed: those that may be moved get a successor, under one id however often and by
// whomever it is decided; those of a removed host are given up. Works only during a term; every step can be done again after any crash.
import { createHash, randomUUID } from 'node:crypto';
import { containerSubject, hostSubject, placementSubject, type Meta, type NameClaim } from '@pouch/contracts';
import { containerId, decideContainer, decideHost, decidePlacement, explainStay, successorIsDue, type Container, type ContainerCommand, type ContainerId, type Host, type HostId, type Replacement, type Strategy } from '@pouch/domain';
import { execute, type Claims, type PouchLog, type Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { Patience } from './patience.ts';
import type { Known, View } from './view.ts';

/** Steps under way at once; the rest waits in the view. */
const maxInFlight = 32;

export interface ReplacerDeps {
  readonly view: View;
  /** Replicas of services on a host, which their services move. */
  readonly hasReplicasOn: (hostId: HostId) => boolean;
  readonly claims: Claims<NameClaim>;
  readonly strategy: Strategy;
  readonly patience: Patience;
  readonly log: PouchLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The same for the same container, so that two schedulers that both replace it mean one successor. */
export function successorIdOf(id: string): ContainerId {
  return containerId(createHash('sha256').update(`successor of ${id}`).digest('hex'));
}

export class Replacer {
  readonly #deps: ReplacerDeps;
  readonly #inFlight = new Set<string>();

  constructor(deps: ReplacerDeps) {
    this.#deps = deps;
  }

  /** Takes up all that is open. Call it whenever the view has changed, and now and then. */
  work(term: Term): void {
    if (term.signal.aborted) return;
    const { view } = this.#deps;
    for (const known of view.successions()) if (successorIsDue(known.container)) this.#take(known.container.id, () => this.#succeed(known));
    for (const host of view.concerning()) {
      if (host.state === 'lost') this.#lost(host);
      else if (host.state === 'removed') for (const id of view.occupants(host.id)) this.#take(id, () => this.#report(host, containerId(id), { type: 'ReportRemoved' }));
      else if (host.drain?.done === false) this.#drain(host);
    }
  }

  #take(id: string, work: () => Promise<void>): void {
    if (this.#inFlight.has(id) || this.#inFlight.size >= maxInFlight) return;
    this.#inFlight.add(id);
    work()
      .catch((error: unknown) => this.#deps.logger.warn({ err: error, id }, 'a step of moving did not go through; it is taken up again'))
      .finally(() => this.#inFlight.delete(id));
  }

  /** What is not made yet has nothing to lose: it is placed elsewhere. What may be moved is. */
  #lost(host: Host): void {
    const { view } = this.#deps;
    for (const { container, seq } of view.unmade(host.id)) {
      // A replica is started unasked, so it may run there unseen: its service makes another one instead.
      if (container.spec.service !== undefined || container.requests.some(({ action }) => action.kind === 'remove')) continue;
      this.#take(container.id, () => this.#report(host, container.id, { type: 'ReportRejected', code: 'host-lost', message: 'the host was lost before it had made the container' }, { seq, snapshot: container }));
    }
    for (const known of view.movable(host.id)) this.#move(known, 'host-lost');
  }

  /** Moves one, if it may be moved and another host can take it. It stays as it is while none can. */
  #move({ container, seq }: Known, why: Replacement['why']): void {
    const { view, strategy, patience, logger } = this.#deps;
    const { id, hostId, name, spec } = container;
    if (!patience.isDue(id) || explainStay(container) !== null) return;
    const successorId = successorIdOf(id);
    const plan = view.choose(spec, { strategy, seed: successorId, except: hostId });
    if (plan.outcome === 'refuse') return patience.putOff(id, name, plan.message);
    this.#take(id, async () => {
      await this.#report({ id: hostId }, id, { type: 'ReplaceContainer', successorId, why }, { seq, snapshot: container });
      patience.forget(id);
      logger.info({ containerId: id, successorId, hostId, why }, 'container replaced');
    });
  }

  #drain(host: Host): void {
    const { view, patience, hasReplicasOn } = this.#deps;
    const movable = view.movable(host.id).filter(({ container }) => explainStay(container) === null);
    for (const known of movable) this.#move(known, 'host-drained');
    if (!view.haveLeft(host.id) || hasReplicasOn(host.id) || movable.some(({ container: { id } }) => !patience.has(id) || this.#inFlight.has(id))) return;
    this.#take(host.id, () => this.#drained(host));
  }

  async #drained(host: Host): Promise<void> {
    const { log, clock, view, logger } = this.#deps;
    const atMs = clock.now();
    const left = view.occupants(host.id).length;
    const executed = await execute({
      log, kind: 'host', subject: hostSubject(host.id), commandId: randomUUID(), meta: meta(atMs),
      decide: (state) => decideHost(state, { type: 'ReportHostDrained', left }, atMs),
    });
    if (executed.ok && executed.appended) logger.info({ hostId: host.id, left }, 'host drained');
  }

  /** The name goes to the successor, the log is asked for it, and the one that it follows is told. Doing any of it again changes nothing. */
  async #succeed({ container, seq }: Known): Promise<void> {
    const { log, clock } = this.#deps;
    const { id, hostId, spec, replaced } = container;
    if (replaced === undefined) return;
    const { successorId } = replaced;
    const name = await this.#takeName(container, replaced);
    const nowMs = clock.now();
    await execute({
      log, kind: 'placement', subject: placementSubject(successorId), commandId: randomUUID(), meta: meta(nowMs), cached: { seq: 0, snapshot: null },
      decide: (state) => decidePlacement(state, { type: 'RequestPlacement', id: successorId, name, spec, predecessor: id, start: true }, nowMs),
    });
    await this.#report({ id: hostId }, id, { type: 'ReportSuccessorRequested' }, { seq, snapshot: container });
  }

  /** The name that the successor has: its predecessor's, unless somebody else came to have that. */
  async #takeName({ id }: Container, { name, successorId }: Replacement): Promise<string> {
    const { claims, clock } = this.#deps;
    const claim: NameClaim = { containerId: successorId, claimedAtMs: clock.now() };
    for (const candidate of [name, `${name.slice(0, 200)}-${successorId.slice(0, 12)}`]) {
      const present = await claims.get(candidate);
      if (present?.value?.containerId === successorId) return candidate;
      const taken = present === null ? await claims.claim(candidate, claim) : present.value?.containerId === id ? await claims.takeOver(candidate, claim, present.revision) : null;
      if (taken?.ok === true) return candidate;
    }
    throw new Error(`no name can be had for the successor of container ${id}`);
  }

  async #report({ id: hostId }: Pick<Host, 'id'>, id: ContainerId, command: ContainerCommand, cached?: { readonly seq: number; readonly snapshot: Container }): Promise<void> {
    const { log, clock } = this.#deps;
    const nowMs = clock.now();
    await execute({
      log, kind: 'container', subject: containerSubject(hostId, id), commandId: randomUUID(), meta: meta(nowMs), cached,
      decide: (state) => decideContainer(state, command, nowMs),
    });
  }
}

function meta(atMs: number): Meta {
  return { atMs, service: 'scheduler', actor: 'scheduler', cause: null };
}
