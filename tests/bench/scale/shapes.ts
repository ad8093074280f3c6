// Containers as a large cluster has them: of some shapes, most with a reservation, many spread, some with constraints and published ports.
import { imageId, readPlacementRules, type ContainerSpec } from '@pouch/domain';
import { aSpec } from '../../fixtures/domain.ts';

const count = 20;

/** Twenty shapes: images, reservations, constraints (hard and soft) and spreading in turns. */
export function shapes(): readonly ContainerSpec[] {
  return Array.from({ length: count }, (_, n) => {
    const labels: Record<string, string> = {
      'io.pouch.reserve.memory': `${64 + 16 * (n % 4)}m`, 'io.pouch.reserve.cpus': '0.05', 'io.pouch.group': `job-${n}`,
      ...(n % 2 === 0 ? { 'io.pouch.spread': n % 4 === 0 ? 'zone' : 'zone,rack' } : {}),
    };
    const read = readPlacementRules([...(n % 3 === 0 ? ['constraint:disk==ssd'] : []), ...(n % 5 === 0 ? ['constraint:zone!=~z9'] : [])], labels);
    if (!read.ok) throw new Error(read.problem);
    const name = `docker.io/library/job:${n}`;
    return aSpec({ placement: read.value.rules, labels, image: { reference: name, name, id: imageId(`sha256:${n.toString(16).padStart(64, '0')}`), manifestDigest: `sha256:${n.toString(16).padStart(64, '1')}` } });
  });
}
