// One after the other: changes of names and what the log is told of them must not overtake each other. It knows nothing of images.

/** Runs pieces of work one at a time, in the order in which they came. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => { /* its own caller hears of it; the next turn is not concerned */ });
    return turn;
  }
}
