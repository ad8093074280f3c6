// The containers of this host as the agent knows them: what the log said last, and over it what has been observed and not told yet.
// It appends nothing and asks nobody.
import { decideContainer, fold, type Container, type ContainerId, type HostId } from '@pouch/domain';
import { containerSubject, parseSubject, type Recorded } from '@pouch/contracts';
import type { Store } from '../store/store.ts';
import type { Report } from './outbox.ts';

export interface Head {
  readonly seq: number;
  readonly snapshot: Container;
}

export class Book {
  readonly #store: Store;
  readonly #hostId: HostId;
  readonly #waiting: (subject: string) => readonly Report[];
  readonly #heads = new Map<string, Head>();
  readonly #local = new Map<string, Container>();
  /** Containers whose place another one has taken. */
  readonly #replaced = new Set<string>();

  constructor(store: Store, hostId: HostId, waiting: (subject: string) => readonly Report[]) {
    this.#store = store;
    this.#hostId = hostId;
    this.#waiting = waiting;
  }

  /** Takes over what was known when the agent last ran, so that it can go on before it reaches the log. */
  restore(): void {
    for (const { containerId, seq, snapshot } of this.#store.heads()) {
      this.#heads.set(containerId, { seq, snapshot });
      if (snapshot.replaced !== undefined) this.#replaced.add(containerId);
    }
  }

  /** The last sequence of the log that is known. */
  get reached(): number {
    return [...this.#heads.values()].reduce((newest, { seq }) => Math.max(newest, seq), 0);
  }

  /** The log is about to be read from its beginning, and may be another one: whatever it says then is news. */
  distrust(): void {
    for (const [id, { snapshot }] of this.#heads) this.#heads.set(id, { seq: 0, snapshot });
  }

  subject(containerId: string): string {
    return containerSubject(this.#hostId, containerId as ContainerId);
  }

  head(containerId: string): Head | undefined {
    return this.#heads.get(containerId);
  }

  ids(): string[] {
    return [...this.#heads.keys()];
  }

  /** Takes in a message of the log; false: it was known, or an older one. */
  apply({ subject, seq, message }: Recorded): boolean {
    const parts = parseSubject(subject);
    if (parts === null || parts.kind !== 'container' || parts.hostId !== this.#hostId) return false;
    return this.learn(parts.id, seq, message.snapshot as Container);
  }

  learn(containerId: string, seq: number, snapshot: Container): boolean {
    const known = this.#heads.get(containerId);
    if (known !== undefined && known.seq >= seq) return false;
    this.#heads.set(containerId, { seq, snapshot });
    this.#local.delete(containerId);
    if (snapshot.replaced !== undefined) this.#replaced.add(containerId);
    this.#store.saveHead({ containerId, seq, snapshot });
    return true;
  }

  /** The container after everything that has been observed, told or not; null: unknown. */
  local(containerId: string): Container | null {
    const cached = this.#local.get(containerId);
    if (cached !== undefined) return cached;
    const head = this.#heads.get(containerId);
    if (head === undefined) return null;
    const local = this.#waiting(this.subject(containerId)).reduce<Container>((state, report) => evolve(state, report), head.snapshot);
    this.#local.set(containerId, local);
    return local;
  }

  /** What waits for the log has changed. */
  invalidate(subject: string): void {
    const parts = parseSubject(subject);
    if (parts?.kind === 'container') this.#local.delete(parts.id);
  }

  /** Whether containers that were replaced are here still. */
  get clearing(): boolean {
    for (const id of this.#replaced) if (this.local(id)?.status !== 'removed' && this.local(id)?.replaced?.why === 'host-lost') return true;
    return false;
  }

  /** The container is gone from this host: nothing need be known of it any more. */
  forget(containerId: string): void {
    this.#drop(containerId);
    this.#store.forget(containerId);
  }

  /** The container is here and the log does not know it: nothing is done with it any more. `snapshot`: what was known of it. */
  leave(containerId: string, snapshot: Container | null): void {
    this.#drop(containerId);
    this.#store.saveUnknown({ containerId, snapshot });
  }

  #drop(containerId: string): void {
    this.#heads.delete(containerId);
    this.#local.delete(containerId);
    this.#replaced.delete(containerId);
  }
}

function evolve(state: Container, report: Report): Container {
  if (report.kind !== 'container') return state;
  const decision = decideContainer(state, report.command, report.atMs);
  return decision.ok ? (fold('container', state, decision.events) ?? state) : state;
}
