// What follows for a service from what its tasks have come to: which have ended, which are to end, which are to be started, and how its rollout goes.
// Pure, and the only place that says so: whoever repeats it on the same state and the same observations decides the same.
import type { HealthStatus } from '../container/health-check.ts';
import { restartResetAfterMs } from '../container/restart-policy.ts';
import type { ContainerId } from '../ids.ts';
import { evolveService } from './evolve.ts';
import { maxStartsAtOnce, type Rest, type Rollout, type RetireReason, type Service, type ServiceEvent, type Task, type TaskEnd } from './state.ts';

/** What a task's container has come to, as far as whoever observes knows. `draining`: its host is to be emptied. */
export type Observation =
  | { readonly state: 'pending' }
  /** `forMs`: on the observer's own clock, which nobody sets. `health` null: it has no health check. */
  | { readonly state: 'running'; readonly forMs: number; readonly health: HealthStatus | null; readonly draining: boolean }
  | { readonly state: 'ended'; readonly hostId: string | null; readonly exitCode: number | null; readonly ranMs: number; readonly message: string }
  | { readonly state: 'lost'; readonly hostId: string };

export interface Surroundings {
  readonly observe: (containerId: ContainerId) => Observation;
  /** The id of a task: the same for the same `number`, so that whoever starts the same one means the same container. */
  readonly idOf: (task: { readonly uid: string; readonly slot: number; readonly generation: number; readonly number: number }) => ContainerId;
}

/** Ends in a row beyond this grow the delay no further. */
const maxDoublings = 5;

export function advanceService(before: Service, surroundings: Surroundings, nowMs: number): readonly ServiceEvent[] {
  const advance = new Advance(before, surroundings, nowMs);
  advance.end();
  advance.judge();
  advance.retire();
  advance.start();
  advance.conclude();
  return advance.events;
}

/** The rollout that goes on, with its rules; null: none does. */
export function ongoingRollout({ rollout, spec }: Service): Rollout | null {
  if (rollout?.state === 'updating') return spec.update;
  return rollout?.state === 'rollback_started' ? spec.rollback : null;
}

class Advance {
  readonly events: ServiceEvent[] = [];
  #state: Service;
  #slots: ReadonlyMap<number, readonly Task[]>;
  readonly #surroundings: Surroundings;
  readonly #nowMs: number;

  constructor(state: Service, surroundings: Surroundings, nowMs: number) {
    this.#state = state;
    this.#slots = bySlot(state);
    this.#surroundings = surroundings;
    this.#nowMs = nowMs;
  }

  #tell(event: ServiceEvent): void {
    this.events.push(event);
    this.#state = evolveService(this.#state, event) as Service;
    this.#slots = bySlot(this.#state);
  }

  #observe(task: Task): Observation {
    return this.#surroundings.observe(task.containerId);
  }

  #isProven(task: Task): boolean {
    const observed = this.#observe(task);
    return isWell(observed) && observed.forMs >= this.#rules().monitorMs;
  }

  #rules(): Rollout {
    return this.#state.rollout?.state.startsWith('rollback') === true ? this.#state.spec.rollback : this.#state.spec.update;
  }

  /** Tasks that have ended leave the list. */
  end(): void {
    const ends = this.#state.tasks.flatMap((task): TaskEnd[] => {
      const observed = this.#observe(task);
      if (observed.state === 'lost') return [{ containerId: task.containerId, hostId: observed.hostId, outcome: 'lost', exitCode: null, message: `host ${observed.hostId} was lost`, rest: null, failedRollout: false }];
      return observed.state === 'ended' ? [this.#endOf(task, observed)] : [];
    });
    if (ends.length > 0) this.#tell({ type: 'ServiceTasksEnded', ends, atMs: this.#nowMs });
  }

  #endOf({ containerId, slot, generation, retired }: Task, { hostId, exitCode, ranMs, message }: Extract<Observation, { state: 'ended' }>): TaskEnd {
    const end = { containerId, hostId, exitCode, message };
    const isUnhealthy = retired?.why === 'unhealthy';
    if (retired !== undefined && !isUnhealthy) return { ...end, outcome: 'shut-down', rest: null, failedRollout: false };
    const outcome = exitCode === 0 && !isUnhealthy ? 'complete' : 'failed';
    // Of an older generation: that one rests says nothing of the one that is to come.
    const rest = generation === this.#state.generation ? this.#restOf(slot, outcome, ranMs) : null;
    const rules = ongoingRollout(this.#state);
    const failedRollout = rules !== null && generation === this.#state.generation && (isUnhealthy || ranMs < rules.monitorMs);
    return { ...end, ...(isUnhealthy ? { message: 'its health check failed' } : {}), outcome, rest, failedRollout };
  }

  #restOf(slot: number, outcome: 'complete' | 'failed', ranMs: number): Pick<Rest, 'dueAtMs' | 'inARow'> {
    const { condition, delayMs, maxAttempts } = this.#state.spec.restart;
    const before = this.#state.rests.find((rest) => rest.slot === slot)?.inARow ?? 0;
    const inARow = ranMs >= restartResetAfterMs ? 1 : before + 1;
    const wanted = condition === 'any' || (condition === 'on-failure' && outcome === 'failed');
    if (!wanted || (maxAttempts > 0 && inARow > maxAttempts)) return { dueAtMs: null, inARow };
    return { dueAtMs: this.#nowMs + delayMs * 2 ** Math.min(inARow - 1, maxDoublings), inARow };
  }

  /** Whether the rollout has failed, and what becomes of it then. */
  judge(): void {
    const rules = ongoingRollout(this.#state);
    const { rollout, spec: { replicas }, previous } = this.#state;
    if (rules === null || rollout === null || this.#state.state !== 'present' || rules.onFailure === 'continue') return;
    if (rollout.failures === 0 || rollout.failures / Math.max(1, replicas) <= rules.maxFailureRatio) return;
    const why = `${rollout.failures} of the new replicas ended before they had run for ${rules.monitorMs} ms, or became unhealthy`;
    if (rollout.state === 'updating' && rules.onFailure === 'rollback' && previous !== null) this.#tell({ type: 'ServiceRolledBack', why: `rolled back: ${why}`, atMs: this.#nowMs });
    else this.#tell({ type: 'ServiceRolloutEnded', state: rollout.state === 'updating' ? 'paused' : 'rollback_paused', message: `paused: ${why}`, atMs: this.#nowMs });
  }

  /** Tasks that are not wanted any more are to end. */
  retire(): void {
    const { state, spec: { replicas } } = this.#state;
    if (state !== 'present') return this.#retire(this.#active(), 'removed');
    this.#retire(this.#active().filter(({ slot }) => slot > replicas), 'scaled-down');
    this.#retire(this.#outdated(), 'updated');
    this.#retire(this.#active().filter((task) => { const observed = this.#observe(task); return observed.state === 'running' && observed.health === 'unhealthy'; }), 'unhealthy');
    this.#retire(this.#draining(), 'host-drained');
  }

  #retire(tasks: readonly Task[], why: RetireReason): void {
    if (tasks.length > 0) this.#tell({ type: 'ServiceTasksRetired', containerIds: tasks.map(({ containerId }) => containerId), why, atMs: this.#nowMs });
  }

  #active(): readonly Task[] {
    return this.#state.tasks.filter((task) => task.retired === undefined);
  }

  #ofSlot(slot: number): readonly Task[] {
    return this.#slots.get(slot) ?? [];
  }

  /** The one of the present generation. */
  #current(slot: number): Task | undefined {
    return this.#ofSlot(slot).find((task) => task.retired === undefined && task.generation === this.#state.generation);
  }

  /** Of an older generation, whose turn has come: for `start-first` those whose successor is proven. */
  #outdated(): readonly Task[] {
    const { generation } = this.#state;
    const rules = ongoingRollout(this.#state);
    const outdated = this.#active().filter((task) => task.generation !== generation);
    // Also where the rollout is over: an old one beside a new one that is proven, or has run its course, is left of an exchange that was under way.
    const relieved = outdated.filter(({ slot }) => { const task = this.#current(slot); return task === undefined ? this.#rest(slot)?.dueAtMs === null : this.#isProven(task); });
    if (rules === null) return relieved;
    // An exchange that was overtaken by the next one leaves two: one of them is enough to be exchanged.
    const doubled = outdated.filter((task) => this.#current(task.slot) === undefined && task !== this.#keeper(outdated, task.slot));
    // One that does not run gives way at once, whatever the order.
    const turns = new Set(this.#turns(rules));
    const ready = outdated.filter((task) => turns.has(task.slot) && this.#current(task.slot) === undefined && (rules.order === 'stop-first' || this.#observe(task).state !== 'running'));
    return [...new Set([...relieved, ...doubled, ...ready])];
  }

  /** Of several in a slot, the one that serves. */
  #keeper(tasks: readonly Task[], slot: number): Task | undefined {
    const ofSlot = tasks.filter((task) => task.slot === slot);
    return ofSlot.find((task) => this.#observe(task).state === 'running') ?? ofSlot[0];
  }

  /** Slots that are exchanged now: those under way, and as many more as the parallelism lets. */
  #turns(rules: Rollout): readonly number[] {
    const { spec: { replicas } } = this.#state;
    const underWay: number[] = [];
    const waiting: number[] = [];
    for (let slot = 1; slot <= replicas; slot++) {
      const ofSlot = this.#ofSlot(slot);
      const current = this.#current(slot);
      // One that is still ending is still there.
      if (ofSlot.some((task) => task.retired !== undefined)) underWay.push(slot);
      else if (current !== undefined) {
        const observed = this.#observe(current);
        if (!isWell(observed) || observed.forMs < rules.monitorMs + rules.delayMs) underWay.push(slot);
      } else if (ofSlot.length > 0) waiting.push(slot);
      // A slot that gets no other one holds up nobody.
      else if (this.#rest(slot)?.dueAtMs !== null) underWay.push(slot);
    }
    const room = rules.parallelism === 0 ? waiting.length : Math.max(0, rules.parallelism - underWay.length);
    return [...underWay, ...waiting.slice(0, room)];
  }

  #rest(slot: number): Rest | undefined {
    return this.#state.rests.find((rest) => rest.slot === slot);
  }

  /** Of those on hosts that are to be emptied, one at a time: the next when all the others run and are well. */
  #draining(): readonly Task[] {
    const active = this.#active();
    const on = active.filter((task) => { const observed = this.#observe(task); return observed.state === 'running' && observed.draining; });
    const settled = this.#state.tasks.length === active.length && active.every((task) => isWell(this.#observe(task)));
    return settled ? on.slice(0, 1) : [];
  }

  /** Slots without a replica get one. */
  start(): void {
    const { state, spec: { replicas }, uid, generation, tasksMade } = this.#state;
    if (state !== 'present') return;
    const rules = ongoingRollout(this.#state);
    const turns = new Set(rules?.order === 'start-first' ? this.#turns(rules) : []);
    const slots: number[] = [];
    for (let slot = 1; slot <= replicas && slots.length < maxStartsAtOnce; slot++) {
      const ofSlot = this.#ofSlot(slot);
      const isFree = ofSlot.length === 0;
      // Beside the old one, which goes on until the new one is proven.
      const isBeside = turns.has(slot) && ofSlot.length === 1 && ofSlot[0]?.generation !== generation && ofSlot[0]?.retired === undefined;
      if ((isFree || isBeside) && this.#isDue(slot)) slots.push(slot);
    }
    if (slots.length === 0) return;
    const tasks = slots.map((slot, index) => ({ containerId: this.#surroundings.idOf({ uid, slot, generation, number: tasksMade + index }), slot, generation }));
    this.#tell({ type: 'ServiceTasksStarted', tasks, atMs: this.#nowMs });
  }

  /** A clock that was set back since does not make it wait for longer. */
  #isDue(slot: number): boolean {
    const rest = this.#rest(slot);
    return rest === undefined || (rest.dueAtMs !== null && (this.#nowMs >= rest.dueAtMs || this.#nowMs < rest.endedAtMs));
  }

  /** Whether the rollout, or the removal, is done. */
  conclude(): void {
    const { state, tasks, spec: { replicas }, generation, rollout } = this.#state;
    if (state === 'removing' && tasks.length === 0) return this.#tell({ type: 'ServiceRemoved', atMs: this.#nowMs });
    if (state !== 'present' || ongoingRollout(this.#state) === null) return;
    const done = (slot: number): boolean => {
      const ofSlot = this.#ofSlot(slot);
      // One that gets no other replica is as done as it can be.
      if (this.#rest(slot)?.dueAtMs === null) return true;
      return ofSlot.length > 0 && ofSlot.every((task) => task.generation === generation && task.retired === undefined && this.#isProven(task));
    };
    for (let slot = 1; slot <= replicas; slot++) if (!done(slot)) return;
    const isBack = rollout?.state === 'rollback_started';
    this.#tell({ type: 'ServiceRolloutEnded', state: isBack ? 'rollback_completed' : 'completed', message: isBack ? 'rollback completed' : 'update completed', atMs: this.#nowMs });
  }
}

/** It runs, and nothing that asks after it has yet to be answered. */
function isWell(observed: Observation): observed is Extract<Observation, { state: 'running' }> {
  return observed.state === 'running' && (observed.health === null || observed.health === 'healthy');
}

function bySlot({ tasks }: Service): ReadonlyMap<number, readonly Task[]> {
  return Map.groupBy(tasks, ({ slot }) => slot);
}
