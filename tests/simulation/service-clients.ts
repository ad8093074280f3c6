// Those who use services in a simulated cluster: each makes one, scales and updates it, rolls it back, removes it, and begins anew.
import type { Rollout, Service, ServiceCommand, ServiceSpec } from '@pouch/domain';
import { commandService } from '../../services/api/src/commands/services.ts';
import { aSpec } from '../fixtures/domain.ts';
import type { ApiActor } from './actors.ts';
import type { Cluster } from './faults.ts';
import { aHealthCheck } from './health-checks.ts';

const asking = { actor: 'simulation', signal: new AbortController().signal };
const mebibyte = 2 ** 20;

export class ServiceClient {
  readonly #cluster: Cluster;
  readonly #name: string;
  #made = 0;
  #stopped = false;

  constructor(cluster: Cluster, name: string) {
    this.#cluster = cluster;
    this.#name = name;
  }

  stop(): void {
    this.#stopped = true;
  }

  start(): void {
    const { runtime, apis } = this.#cluster;
    runtime.after(runtime.world, runtime.chance.between(50, 12_000), () => {
      if (this.#stopped) return;
      const api = runtime.chance.pick(apis);
      if (api.deps !== null && api.process.alive) runtime.after(api.process, 0, () => { this.#act(api).catch((error: unknown) => this.#told(error)); });
      this.start();
    });
  }

  async #act(api: ApiActor): Promise<void> {
    const { runtime } = this.#cluster;
    const command = this.#choose(api.services.get(this.#name));
    if (command === null) return;
    runtime.say(this.#name, `asks ${api.name} for ${command.type}${'spec' in command ? ` with ${command.spec.replicas} replicas` : ''}`);
    await commandService(api.deps as NonNullable<ApiActor['deps']>, this.#name, command, asking);
    runtime.say(this.#name, `${command.type} is done`);
  }

  #choose(service: Service | undefined): Exclude<ServiceCommand, { type: 'AdvanceService' }> | null {
    const { chance } = this.#cluster.runtime;
    if (service === undefined || service.state === 'removed') return { type: 'CreateService', name: this.#name, uid: `${this.#name}n${++this.#made}r${chance.below(1_000_000)}`, spec: this.#spec() };
    if (service.state === 'removing') return null;
    const { uid, version: seen } = service;
    const version = chance.is(0.5) ? seen : null;
    const change = chance.pick(['scale', 'scale', 'scale', 'update', 'update', 'update', 'force', 'roll back', 'remove']);
    switch (change) {
      case 'scale':
        return { type: 'UpdateService', uid, version, spec: { ...service.spec, replicas: chance.below(5) }, force: false };
      case 'roll back':
        return { type: 'RollBackService', uid, version };
      case 'remove':
        return { type: 'RemoveService', uid };
      default:
        return { type: 'UpdateService', uid, version, spec: { ...this.#spec(), replicas: service.spec.replicas }, force: change === 'force' };
    }
  }

  #spec(): ServiceSpec {
    const { chance } = this.#cluster.runtime;
    const rollout = (): Rollout => ({
      parallelism: chance.pick([0, 1, 1, 2]), delayMs: chance.pick([0, 0, 2_000]), order: chance.pick(['stop-first', 'start-first']), monitorMs: chance.pick([500, 3_000]),
      onFailure: chance.pick(['pause', 'continue', 'rollback']), maxFailureRatio: chance.pick([0, 0, 0.5]),
    });
    const template = aSpec({ env: [`VERSION=${chance.below(1_000)}`], hostname: '', stopTimeoutSeconds: 2, ...aHealthCheck(chance), resources: { ...aSpec().resources, memoryReservationBytes: chance.pick([0, 50]) * mebibyte } });
    return {
      templates: [template], replicas: chance.below(5), update: rollout(), rollback: rollout(),
      restart: { condition: chance.pick(['any', 'any', 'any', 'on-failure']), delayMs: chance.pick([200, 2_000]), maxAttempts: 0 }, labels: {}, asked: '{}',
    };
  }

  /** Refusals and answers that do not come are everyday; what is wrong in itself ends the run. */
  #told(error: unknown): void {
    if (error instanceof TypeError || error instanceof RangeError) return this.#cluster.fail(error);
    const { status, message } = error as { status?: number; message: string };
    this.#cluster.runtime.say(this.#name, `${status ?? ''} ${message}`);
  }
}
