// From what is asked of a service to what it is: the template is a create body, read as a container's is and held against the cluster's policy.
// What was asked is kept beside it, so that an update changes that and reads it anew (with the image's defaults of then).
import type { FastifyRequest } from 'fastify';
import type { DockerCreateBody, RolloutBody } from '@pouch/contracts';
import type { ContainerId, ContainerSpec, Rollout, ServiceRestart, ServiceSpec } from '@pouch/domain';
import { permittedSpec } from '../access/policy.ts';
import { newContainerId } from '../commands/create.ts';
import { findImage } from '../containers/images.ts';
import { readSettings, requireImage } from '../containers/settings.ts';
import { runtimesOf } from '../containers/runtimes.ts';
import type { Deps } from '../deps.ts';
import { badField, requireSpecSize } from '../errors.ts';
import { kernelNames } from '../kernels/catalogue.ts';
import { askedSecrets } from '../secrets/attach.ts';

/** What a service was asked to be, as far as it makes its containers. */
export interface Asked {
  readonly template: DockerCreateBody;
  /** Slots take them in turn; none: what the template says. */
  readonly runtimes: readonly string[];
}

export interface AskedSettings {
  readonly replicas?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly update?: RolloutBody | undefined;
  readonly rollback?: RolloutBody | undefined;
  readonly restart?: Partial<ServiceRestart> | undefined;
}

/** Docker's defaults. */
const defaultRollout: Rollout = { parallelism: 1, delayMs: 0, order: 'stop-first', monitorMs: 5_000, onFailure: 'pause', maxFailureRatio: 0 };
const defaultRestart: ServiceRestart = { condition: 'any', delayMs: 5_000, maxAttempts: 0 };

type SpecDeps = Pick<Deps, 'projection' | 'config'>;

/** Throws an HttpError that names the setting. `before`: what stays where nothing is said. */
export function readServiceSpec(deps: SpecDeps, request: FastifyRequest, asked: Asked, { replicas, labels, update, rollback, restart }: AskedSettings, before: ServiceSpec | null = null): ServiceSpec {
  const rollbackRules = { ...(before?.rollback ?? defaultRollout), ...rollback };
  if (rollbackRules.onFailure === 'rollback') throw badField('rollback.onFailure', 'a rollback that fails can pause or continue');
  const spec: ServiceSpec = {
    templates: readTemplates(deps, request, asked),
    replicas: replicas ?? before?.replicas ?? 1,
    update: { ...(before?.update ?? defaultRollout), ...update },
    rollback: rollbackRules,
    restart: { ...(before?.restart ?? defaultRestart), ...restart },
    labels: labels ?? before?.labels ?? {},
    asked: JSON.stringify(asked),
  };
  // A message has it up to three times: in its event, as what is, and as what was before.
  requireSpecSize('the service', [spec, spec]);
  return spec;
}

export function askedOf(spec: ServiceSpec): Asked {
  return JSON.parse(spec.asked) as Asked;
}

function readTemplates(deps: SpecDeps, request: FastifyRequest, { template, runtimes }: Asked): ContainerSpec[] {
  refuseInService(template);
  if (runtimes.length === 0) return [readTemplate(deps, request, template)];
  return runtimes.map((runtime) => readTemplate(deps, request, { ...template, HostConfig: { ...template.HostConfig, Runtime: runtime } }));
}

/** What a service sees to in its own way. */
function refuseInService({ HostConfig: host = {} }: DockerCreateBody): void {
  if (host.AutoRemove === true) throw badField('HostConfig.AutoRemove', 'a service removes its containers itself');
  const restart = host.RestartPolicy?.Name ?? '';
  if (restart !== '' && restart !== 'no') throw badField('HostConfig.RestartPolicy', 'a service replaces what has ended; its restart condition says when');
  if (host.NetworkMode?.startsWith('container:') === true) throw badField('HostConfig.NetworkMode', 'replicas cannot share the network of one container');
  if ((host.VolumesFrom ?? []).length > 0) throw badField('HostConfig.VolumesFrom', 'replicas cannot have the mounts of one container; they can have the same volumes, by their names');
}

function readTemplate({ projection, config }: SpecDeps, request: FastifyRequest, body: DockerCreateBody): ContainerSpec {
  const image = findImage(projection, requireImage(body));
  const placeholder: ContainerId = newContainerId();
  const { spec } = readSettings(body, {
    id: placeholder, image, defaultRuntime: config.defaultRuntime,
    get runtimes() { return runtimesOf(projection); },
    get kernels() { return kernelNames(projection); },
    findContainer: () => null,
  });
  const secrets = askedSecrets(body, spec, projection);
  // A host name of each replica's own is made from its id.
  const hostname = body.Hostname === undefined || body.Hostname === '' ? '' : spec.hostname;
  return permittedSpec(projection, request, { ...spec, hostname, ...(secrets.length === 0 ? {} : { secrets }) });
}

/** `change` over `before`, member by member, one level into HostConfig; null takes a member away. */
export function overlaid(before: DockerCreateBody, change: object): DockerCreateBody {
  const { HostConfig: host, ...rest } = change as { HostConfig?: object };
  return { ...laid(before, rest), HostConfig: laid(before.HostConfig ?? {}, host ?? {}) };
}

function laid(before: object, change: object): object {
  return Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== null));
}
