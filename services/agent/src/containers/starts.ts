// Which start of a container is under way in this process: streams that register meanwhile belong to it.

export class Starts {
  readonly #starting = new Map<string, string>();

  /** The start being made, or undefined. */
  of(containerId: string): string | undefined {
    return this.#starting.get(containerId);
  }

  async during<T>(containerId: string, startId: string, work: () => Promise<T>): Promise<T> {
    this.#starting.set(containerId, startId);
    try {
      return await work();
    } finally {
      this.#starting.delete(containerId);
    }
  }
}
