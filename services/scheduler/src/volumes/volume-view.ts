// The volumes of the cluster as the scheduler sees them, and which containers that are gone still stand in some. Fed with messages of the log in order; asks nobody.
import { volumesOf, type Container, type ContainerId, type HostId, type Placement, type Volume } from '@pouch/domain';

/** A volume with the sequence of its message: the guess for the next append. */
export interface KnownVolume {
  readonly volume: Volume;
  readonly seq: number;
}

/** A container that is gone and has not been taken out of all its volumes. */
export interface Release {
  readonly containerId: ContainerId;
  readonly names: readonly string[];
  readonly withAnonymous: boolean;
}

export class VolumeView {
  /** Those that are there, by name, as the log has told. */
  readonly #heard = new Map<string, KnownVolume>();
  /** As this scheduler's own appends have left them, until the log tells of them: it may not have told yet of containers that they have. */
  readonly #learned = new Map<string, KnownVolume>();
  readonly #releases = new Map<ContainerId, Release>();

  /** The log has told. */
  apply(volume: Volume, seq: number): void {
    if ((this.#learned.get(volume.name)?.seq ?? 0) <= seq) this.#learned.delete(volume.name);
    if (volume.state === 'present') this.#heard.set(volume.name, { volume, seq });
    else this.#heard.delete(volume.name);
  }

  /** An append of one's own. */
  learn(volume: Volume, seq: number): void {
    if (seq > (this.get(volume.name)?.seq ?? 0)) this.#learned.set(volume.name, { volume, seq });
  }

  /** A container, or the request for one, has ended. */
  ended({ id, spec }: Pick<Container | Placement, 'id' | 'spec'>, withAnonymous: boolean): void {
    const names = volumesOf(id, spec.mounts).map(({ name }) => name);
    if (names.length > 0) this.#releases.set(id, { containerId: id, names, withAnonymous });
  }

  /** As it was last known, removed ones among them. */
  get(name: string): KnownVolume | undefined {
    return this.#learned.get(name) ?? this.#heard.get(name);
  }

  placeOf(name: string): HostId | null {
    const volume = this.get(name)?.volume;
    return volume?.state === 'present' ? volume.hostId : null;
  }

  /** What is to be done about containers that are gone. To be asked only where the log has been read: what nothing is to be done about is forgotten. */
  releases(): readonly Release[] {
    for (const { containerId, names } of [...this.#releases.values()]) if (!names.some((name) => this.#uses(name, containerId))) this.#releases.delete(containerId);
    return [...this.#releases.values()];
  }

  /** Finds what was missed: users of whom nothing is known any more, where the log has told of all that came before them. */
  sweep(isKnown: (containerId: ContainerId) => boolean): void {
    for (const { volume } of this.#heard.values()) {
      for (const containerId of volume.users) {
        if (isKnown(containerId) || this.#releases.has(containerId)) continue;
        this.#releases.set(containerId, { containerId, names: [volume.name], withAnonymous: false });
      }
    }
  }

  #uses(name: string, containerId: ContainerId): boolean {
    return this.get(name)?.volume.users.includes(containerId) === true;
  }
}
