// The copies that are under way, by container, and the machines that run for them: whoever starts or removes a container breaks them off first, for they hold
// the mounts of its root, or its disk.
import type { FilesHelper } from '@pouch/native';
import { OperatingError } from '@pouch/process';
import type { HeldMachines } from './held-machines.ts';

/** At once on one host; more are refused. */
export const maxCopies = 64;

export class Copies {
  /** Of containers that do not run. */
  readonly machines: HeldMachines;
  readonly #helpers = new Map<string, Set<FilesHelper>>();
  #count = 0;
  readonly #brokenOff = new WeakSet<FilesHelper>();

  constructor(machines: HeldMachines) {
    this.machines = machines;
  }

  /** Makes a helper that is found here until it has ended. */
  begin(containerId: string, make: () => FilesHelper): FilesHelper {
    if (this.#count >= maxCopies) throw new OperatingError('unavailable', `${maxCopies} copies are under way on this host: try again`, { retryable: true });
    const helper = make();
    const own = this.#helpers.get(containerId) ?? new Set();
    this.#helpers.set(containerId, own.add(helper));
    this.#count++;
    return helper;
  }

  /** The helper is to end, and then is forgotten. */
  async end(containerId: string, helper: FilesHelper): Promise<void> {
    await helper.end();
    const own = this.#helpers.get(containerId);
    if (own?.delete(helper) === true) this.#count--;
    if (own?.size === 0) this.#helpers.delete(containerId);
  }

  /** Ends all copies of a container; when it resolves, none holds anything. */
  async breakOff(containerId: string): Promise<void> {
    for (const helper of this.#helpers.get(containerId) ?? []) {
      this.#brokenOff.add(helper);
      await helper.end({ abort: true });
    }
    await this.machines.end(containerId);
  }

  wasBrokenOff(helper: FilesHelper): boolean {
    return this.#brokenOff.has(helper);
  }
}
