// What must hold of volumes at every message of a simulated cluster, and once faults have stopped. It looks at the log only.
import { volumesOf, type Container, type Volume } from '@pouch/domain';
import { Violation } from './violation.ts';

export class VolumeRules {
  readonly #volumes = new Map<string, Volume>();

  /** `living`: whether a container is on some host, or may still come to be there. Throws a Violation. */
  message(volume: Volume, living: (containerId: string) => boolean): void {
    const before = this.#volumes.get(volume.name);
    this.#volumes.set(volume.name, volume);
    if (before?.state !== 'present') return;
    const lost = before.users.find((user) => !(volume.state === 'present' && volume.users.includes(user)) && living(user));
    if (lost !== undefined) throw new Violation(`volumes are kept: ${volume.name} was taken from ${lost.slice(0, 8)}`);
    if (before.hostId !== null && volume.hostId !== before.hostId && before.users.length > 0 && !volume.anonymous) throw new Violation(`volumes do not move: ${volume.name} went from ${before.hostId} to ${volume.hostId}`);
  }

  /** A container that is on its host. Throws a Violation. */
  container({ id, hostId, spec, volumes = [] }: Container): void {
    for (const { name } of volumesOf(id, spec.mounts)) {
      const volume = this.#volumes.get(name);
      const use = volumes.find((one) => one.name === name);
      if (volume?.state !== 'present' || !volume.users.includes(id)) throw new Violation(`volumes are kept: ${id.slice(0, 8)} has ${name}, which does not know it`);
      if (volume.hostId !== hostId || volume.dataId !== use?.dataId) throw new Violation(`a container is where its volumes are: ${id.slice(0, 8)} is on ${hostId}, ${name} on ${volume.hostId}`);
    }
  }

  unsettled(living: (containerId: string) => boolean): string[] {
    return [...this.#volumes.values()].flatMap(({ state, name, users }) => (state === 'removed' ? [] : users.filter((user) => !living(user)).map((user) => `${name} has ${user.slice(0, 8)} still, which is gone`)));
  }
}
