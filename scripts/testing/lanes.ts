// Jobs in lanes: each lane takes the next one as soon as it has done its last, so that a core only idles while nothing is left. It knows nothing of tests.

/** What is to be done. It must not reject: how it went is its own to tell. */
export type Job = () => Promise<void>;

/** Jobs that wait, in their order. Several lanes may take from one, also such as join later. */
export class Queue {
  readonly #left: Job[];

  constructor(jobs: readonly Job[]) {
    this.#left = [...jobs];
  }

  /** Takes jobs, `lanes` at a time, until none is left and those it has taken are done. */
  async work(lanes: number): Promise<void> {
    await Promise.all(Array.from({ length: lanes }, async () => {
      for (let job = this.#left.shift(); job !== undefined; job = this.#left.shift()) await job();
    }));
  }
}
