// The container of a task: the service's template with what makes it this replica, and nobody else's.
import type { ContainerSpec } from '../container/spec.ts';
import type { ContainerId } from '../ids.ts';
import { noRules } from '../placement/rules.ts';
import { nodeLabel } from '../placement/ranking.ts';
import type { Service, Task } from './state.ts';

/** Labels of this beginning are given to replicas, and to nothing else. */
export const serviceLabel = 'io.pouch.service.';

/** As Docker calls the containers of tasks: `web.1.0123456789ab`. */
export function taskName({ name }: Pick<Service, 'name'>, { slot, containerId }: Pick<Task, 'slot' | 'containerId'>): string {
  return `${name}.${slot}.${containerId.slice(0, 12)}`;
}

/** Which containers a service's are counted with where they are spread. */
export function taskGroup({ uid }: Pick<Service, 'uid'>, { placement }: Pick<ContainerSpec, 'placement'>): string {
  return placement?.group ?? `service ${uid}`;
}

/** Null: the templates of its generation are not known any more, which only a task that is to end may have. */
export function taskSpec({ name, uid, spec, generation, previous }: Service, { containerId, slot, generation: own }: Pick<Task, 'containerId' | 'slot' | 'generation'>): ContainerSpec | null {
  const templates = own === generation ? spec.templates : own === previous?.generation ? previous.spec.templates : [];
  const template = templates[(slot - 1) % Math.max(1, templates.length)];
  if (template === undefined) return null;
  const rules = template.placement ?? noRules;
  return {
    ...template,
    hostname: template.hostname === '' && template.network.mode !== 'host' ? hostnameOf(containerId) : template.hostname,
    labels: { ...template.labels, ...labelsOf({ name, uid }, { slot, generation: own }) },
    // Its service replaces it, on this host or another: nothing else may.
    restartPolicy: { name: 'no', maximumRetryCount: 0 }, autoRemove: false,
    placement: { ...rules, rescheduleOnHostLoss: false, group: taskGroup({ uid }, template), spreadOver: rules.strategy === null || rules.strategy === 'spread' ? [...rules.spreadOver, nodeLabel] : rules.spreadOver },
    service: { uid, name, slot, generation: own },
  };
}

const hostnameOf = (id: ContainerId): string => id.slice(0, 12);

function labelsOf({ name, uid }: Pick<Service, 'name' | 'uid'>, { slot, generation }: Pick<Task, 'slot' | 'generation'>): Readonly<Record<string, string>> {
  return { [`${serviceLabel}name`]: name, [`${serviceLabel}id`]: uid, [`${serviceLabel}slot`]: String(slot), [`${serviceLabel}generation`]: String(generation) };
}
