// Gives requests a host: chooses, tells the placement, then puts the container on its host's subject. Works only during a term of leadership;
// the expected sequences fence a leader that does not know yet that it is none.
import { randomUUID } from 'node:crypto';
import { containerSubject, placementSubject, type Meta } from '@pouch/contracts';
import { decideContainer, decidePlacement, maxPlacementAttempts, type Placement, type PlacementCommand, type Plan, type Strategy } from '@pouch/domain';
import { execute, type PouchLog, type Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { Patience } from './patience.ts';
import type { Rejection, View, Waiting } from './view.ts';
import type { VolumeKeeper } from './volumes/volume-keeper.ts';

/** Of the hosts that have an image, how many one that lacks it is told of. */
const maxImageHolders = 4;
/** Placements under way at once; the rest waits in the view. */
const maxInFlight = 64;

export interface PlacerDeps {
  readonly view: View;
  readonly volumes: Pick<VolumeKeeper, 'take'>;
  readonly strategy: Strategy;
  readonly patience: Patience;
  /** False: whoever asked for it wants it no more, and takes the request back. */
  readonly isWanted: (placement: Pick<Placement, 'id' | 'spec'>) => boolean;
  /** There is room again for what was left over: to call `work`, if one leads and the view is current. */
  readonly again: () => void;
  readonly log: PouchLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Placer {
  readonly #deps: PlacerDeps;
  /** Containers that are being worked on: the view shows them as open until the log has told of the outcome. */
  readonly #inFlight = new Set<string>();
  /** By container: the sequence of what was appended for it last, until the view has come there. What the view shows of it before is old: acted upon, it would only be refused by the log. */
  readonly #ahead = new Map<string, number>();
  /** Something was left for want of a free place: it is taken up as soon as there is one. */
  #leftOver = false;

  constructor(deps: PlacerDeps) {
    this.#deps = deps;
  }

  /** Takes up all that is open. Call it whenever the view has changed, and now and then: what failed is taken up again. */
  work(term: Term): void {
    if (term.signal.aborted) return;
    const { view, patience, isWanted } = this.#deps;
    for (const [containerId, seq] of this.#ahead) if (seq <= view.seq) this.#ahead.delete(containerId);
    this.#leftOver = false;
    for (const rejection of view.rejections()) this.#take(rejection.containerId, () => this.#reject(rejection));
    for (const placement of view.unassigned()) this.#take(placement.id, () => this.#assign(placement));
    for (const waiting of view.waiting()) {
      // Thousands may wait: the rest is not even looked at.
      if (this.#leftOver) return;
      const { placement } = waiting;
      if (patience.isDue(placement.id) && isWanted(placement)) this.#take(placement.id, () => this.#place(waiting, term));
    }
  }

  #take(containerId: string, work: () => Promise<void>): void {
    if (this.#inFlight.has(containerId) || this.#ahead.has(containerId)) return;
    if (this.#inFlight.size >= maxInFlight) {
      this.#leftOver = true;
      return;
    }
    this.#inFlight.add(containerId);
    work().then(() => {
      this.#inFlight.delete(containerId);
      if (this.#leftOver) this.#deps.again();
    }, (error: unknown) => {
      // Not at once: what failed would come first.
      this.#inFlight.delete(containerId);
      this.#deps.logger.warn({ err: error, containerId }, 'placement did not go through; it is taken up again');
    });
  }

  async #place({ placement, seq }: Waiting, term: Term): Promise<void> {
    const { view, logger, strategy, patience } = this.#deps;
    const { id, spec, rejections } = placement;
    // Choosing and counting happen in one go, before anything is awaited: two requests never count on the same room.
    const plan = view.choose(spec, { rejections, strategy, seed: id });
    if (plan.outcome === 'refuse') {
      // Nobody waits for a successor or a replica, who could ask again: it has the next host that can take it.
      if ((placement.predecessor !== undefined || spec.service !== undefined) && rejections.length < maxPlacementAttempts) return patience.putOff(id, placement.name, plan.message);
      await this.#decide(placement, seq, { type: 'RefusePlacement', code: plan.code, message: plan.message, verdicts: plan.verdicts });
      logger.info({ containerId: placement.id, reason: plan.message }, 'placement refused');
      return;
    }
    patience.forget(id);
    view.promise(placement, plan.hostId);
    const placed = await this.#placeOn(plan, { placement, seq }, term).catch((error: unknown) => {
      view.unpromise(placement.id);
      throw error;
    });
    // Another scheduler was faster, or a volume is on another host by now: the log will tell.
    if (placed?.status !== 'placed') return view.unpromise(placement.id);
    await this.#assign(placed);
  }

  /** Volumes with a name come first: they are on that host before anything of the container is. */
  async #placeOn({ hostId, verdicts }: Extract<Plan, { outcome: 'place' }>, { placement, seq }: Waiting, { epoch }: Term): Promise<Placement | null> {
    const taken = await this.#deps.volumes.take(placement, 'named', hostId);
    switch (taken.outcome) {
      case 'taken':
        return await this.#decide(placement, seq, { type: 'PlaceContainer', hostId, epoch, verdicts, volumes: taken.uses });
      case 'refused':
        return await this.#decide(placement, seq, { type: 'RefusePlacement', code: 'no-suitable-host', message: taken.message, verdicts });
      case 'elsewhere':
        return null;
    }
  }

  async #assign(placed: Extract<Placement, { status: 'placed' }>): Promise<void> {
    const { id, name, spec, hostId, predecessor, start, volumes: named = [] } = placed;
    const own = await this.#deps.volumes.take(placed, 'own', hostId);
    // It has been placed elsewhere since, after that host had said no.
    if (own.outcome !== 'taken') return;
    const volumes = [...named, ...own.uses];
    const { log, clock, logger, view } = this.#deps;
    const nowMs = clock.now();
    const imageHolders = someOf(view.imageHolders(spec.image.id, hostId), id);
    const assigned = await execute({
      log, kind: 'container', subject: containerSubject(hostId, id), commandId: randomUUID(), meta: this.#meta(nowMs), cached: { seq: 0, snapshot: null },
      decide: (state) => decideContainer(state, { type: 'AssignContainer', id, hostId, name, spec, ...(predecessor === undefined ? {} : { predecessor }), ...(start === undefined ? {} : { start }), ...(volumes.length === 0 ? {} : { volumes }), imageHolders }, nowMs),
    });
    this.#appended(id, assigned.seq);
    if (assigned.ok) logger.info({ containerId: id, hostId, seq: assigned.seq }, 'container placed');
  }

  async #reject(rejection: Rejection): Promise<void> {
    const { containerId, hostId, code, message } = rejection;
    const subject = placementSubject(containerId);
    const nowMs = this.#deps.clock.now();
    await execute({
      log: this.#deps.log, kind: 'placement', subject, commandId: randomUUID(), meta: this.#meta(nowMs),
      decide: (state) => decidePlacement(state, { type: 'ReportRejection', hostId, code, message }, nowMs),
    });
    this.#deps.view.settle(rejection);
  }

  async #decide(placement: Placement, seq: number, command: PlacementCommand): Promise<Placement | null> {
    const nowMs = this.#deps.clock.now();
    const executed = await execute({
      log: this.#deps.log, kind: 'placement', subject: placementSubject(placement.id), commandId: randomUUID(), meta: this.#meta(nowMs), cached: { seq, snapshot: placement },
      decide: (state) => decidePlacement(state, command, nowMs),
    });
    this.#appended(placement.id, executed.seq);
    return executed.ok ? executed.snapshot : null;
  }

  /** `seq`: of what stands in the log, by this scheduler or by another one. */
  #appended(containerId: string, seq: number): void {
    if (seq > this.#deps.view.seq) this.#ahead.set(containerId, seq);
  }

  #meta(atMs: number): Meta {
    return { atMs, service: 'scheduler', actor: 'scheduler', cause: null };
  }
}

/** A few, others for each container: many that come to hosts without the image at once do not all ask the same. */
function someOf<T extends string>(holders: readonly T[], containerId: string): readonly T[] {
  const first = holders.length === 0 ? 0 : Number.parseInt(containerId.slice(0, 8), 16) % holders.length;
  return [...holders.slice(first), ...holders.slice(0, first)].slice(0, maxImageHolders);
}
