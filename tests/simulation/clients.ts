// Those who use a simulated cluster: each makes a container and does this and that to it, through whichever api is there, and holds what it was
// promised against what came of it. An answer that does not come promises nothing.
import { noRules, type Action, type ContainerSpec, type Mount } from '@pouch/domain';
import { createContainer, newContainerId } from '../../services/api/src/commands/create.ts';
import { requestAction } from '../../services/api/src/commands/requests.ts';
import { commandVolume, goneUsers } from '../../services/api/src/commands/volumes.ts';
import { aSpec } from '../fixtures/domain.ts';
import type { ApiActor } from './actors.ts';
import type { Cluster } from './faults.ts';
import { aHealthCheck } from './health-checks.ts';
import type { Invariants } from './invariants.ts';
import { Violation } from './violation.ts';

const mebibyte = 2 ** 20;
const volumeNames = ['data', 'logs'];
const asking = { actor: 'simulation', signal: new AbortController().signal };

export class Client {
  readonly #cluster: Cluster;
  readonly #rules: Invariants;
  readonly #name: string;
  /** Something of it may still come to be, though nobody was told. */
  #unsure = false;
  #id: string | null = null;
  #stopped = false;

  constructor(cluster: Cluster, rules: Invariants, name: string) {
    this.#cluster = cluster;
    this.#rules = rules;
    this.#name = name;
  }

  stop(): void {
    this.#stopped = true;
  }

  start(): void {
    this.#next();
  }

  #next(): void {
    const { runtime, apis } = this.#cluster;
    runtime.after(runtime.world, runtime.chance.between(50, 5_000), () => {
      if (this.#stopped) return;
      const api = runtime.chance.pick(apis);
      if (api.deps === null || !api.process.alive) return this.#next();
      const life = api.process;
      let told = false;
      const goOn = (): void => {
        if (told) return;
        told = true;
        this.#next();
      };
      runtime.after(life, 0, () => { this.#act(api).then(goOn, this.#cluster.fail); });
      // An api that died answers nobody.
      runtime.after(runtime.world, 30_000, () => { if (!told) { this.#unsure = true; goOn(); } });
    });
  }

  /** Throws only Violations, which end the run. */
  async #act(api: ApiActor): Promise<void> {
    const { runtime } = this.#cluster;
    const { chance } = runtime;
    if (chance.is(0.05)) return await this.#removeVolume(api, chance.pick(volumeNames));
    if (this.#id === null) return await this.#create(api);
    const id = this.#id;
    const stored = api.containers.get(id);
    if (stored === undefined || stored.state.status === 'removed') {
      if (stored?.state.status === 'removed') this.#id = null;
      return;
    }
    const action = chance.pick<Action>([
      { kind: 'start' }, { kind: 'start' }, { kind: 'start' }, { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 2 }, { kind: 'restart', signal: 'SIGTERM', timeoutSeconds: 1 },
      { kind: 'kill', signal: 'SIGKILL' }, { kind: 'pause' }, { kind: 'unpause' }, { kind: 'remove', force: false }, { kind: 'remove', force: true, volumes: true },
    ]);
    runtime.say(this.#name, `asks ${api.name} for ${action.kind} of ${id.slice(0, 8)}`);
    const startsBefore = this.#rules.startsInLog.get(id)?.size ?? 0;
    const sure = !this.#unsure;
    try {
      await requestAction(api.deps as NonNullable<ApiActor['deps']>, stored as Parameters<typeof requestAction>[1], action, asking);
    } catch (error) {
      this.#failed(action.kind, error);
      return;
    }
    runtime.say(this.#name, `${action.kind} of ${id.slice(0, 8)} is done`);
    this.#hold(id, action, sure && !this.#unsure, startsBefore);
  }

  async #create(api: ApiActor): Promise<void> {
    const { runtime } = this.#cluster;
    const { chance } = runtime;
    const id = newContainerId();
    const spec: ContainerSpec = aSpec({
      restartPolicy: { name: chance.pick(['no', 'no', 'always', 'on-failure', 'unless-stopped']), maximumRetryCount: 0 },
      autoRemove: false,
      mounts: chance.is(0.3) ? [volume(chance.pick([...volumeNames, null]), '/one'), ...(chance.is(0.3) ? [volume(chance.pick([...volumeNames, null]), '/two')] : [])] : [],
      resources: { ...aSpec().resources, memoryReservationBytes: chance.pick([0, 100, 300]) * mebibyte },
      ...aHealthCheck(chance),
      placement: { ...noRules, rescheduleOnHostLoss: chance.is(0.4) },
    });
    const name = chance.pick(['red', 'green', 'blue', 'grey']);
    runtime.say(this.#name, `asks ${api.name} for ${name} ${id.slice(0, 8)}`);
    try {
      await createContainer(api.deps as NonNullable<ApiActor['deps']>, id, { name, spec }, asking);
    } catch (error) {
      this.#failed('create', error);
      return;
    }
    runtime.say(this.#name, `${name} ${id.slice(0, 8)} is made`);
    this.#id = id;
    this.#unsure = false;
    if (![...this.#rules.containers.values()].some((one) => one.id === id && one.status !== 'assigned')) throw new Violation(`no acknowledged command is lost: ${id.slice(0, 8)} was said to be made`);
  }

  async #removeVolume(api: ApiActor, name: string): Promise<void> {
    const volume = api.volumes.get(name);
    if (volume?.state !== 'present') return;
    const deps = api.deps as NonNullable<ApiActor['deps']>;
    this.#cluster.runtime.say(this.#name, `asks ${api.name} to remove the volume ${name}`);
    await commandVolume(deps, name, { type: 'RemoveVolume', gone: goneUsers(deps.projection, volume) }, asking).catch((error: unknown) => { this.#refusedVolume(error); });
  }

  /** That of a volume is no word on a container. */
  #refusedVolume(error: unknown): void {
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    this.#cluster.runtime.say(this.#name, `volume: ${(error as Error).message}`);
  }

  #failed(what: string, error: unknown): void {
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    const { status, message } = error as { status?: number; message: string };
    this.#cluster.runtime.say(this.#name, `${what}: ${status ?? ''} ${message}`);
    if (status === undefined || status >= 500) this.#unsure = true;
  }

  /** What the acknowledgement of an action promises. */
  #hold(id: string, action: Action, alone: boolean, startsBefore: number): void {
    const state = [...this.#rules.containers.values()].find((one) => one.id === id);
    const lost = (why: string): never => { throw new Violation(`no acknowledged command is lost: ${action.kind} of ${id.slice(0, 8)} was said to be done, ${why}`); };
    if (state === undefined) return lost('the log does not know it');
    // Of a host that is lost it is promised only: it stands in the log.
    if (action.kind === 'remove' && state.status !== 'removed' && !state.requests.some(({ action: { kind } }) => kind === 'remove')) lost('and it is there');
    if (!alone) return;
    const runs = this.#cluster.hosts.some(({ engine }) => engine.running().includes(id));
    if (action.kind === 'start' && (this.#rules.startsInLog.get(id)?.size ?? 0) === startsBefore) lost('and it was not started');
    if (action.kind === 'remove' && state.status === 'removed' && runs) lost('and it runs');
    if (action.kind === 'stop' && runs && !state.requests.some(({ action: { kind } }) => kind === 'start' || kind === 'restart')) lost('and it runs');
  }
}

const volume = (name: string | null, target: string): Mount => ({ type: 'volume', declaredAs: 'binds', name, target, readonly: false, noCopy: false, labels: {} });
