// Whether this host has room for a container: the scheduler's own rule, asked of what is truly here. Whoever chose this host may have looked at
// an old picture, or not been alone in choosing; here is only one. Answers at once, so that two containers never count on the same room.
import { addAmounts, explainFit, noAmounts, reservationOf, type Capacity, type Container } from '@pouch/domain';
import type { Book } from '../reports/book.ts';

export class Admission {
  readonly #capacity: Capacity;
  readonly #book: Pick<Book, 'ids' | 'local'>;
  /** Let in and being made: the book shows them as assigned still. After a restart of the agent they ask again. */
  readonly #making = new Set<string>();

  constructor(capacity: Capacity, book: Pick<Book, 'ids' | 'local'>) {
    this.#capacity = capacity;
    this.#book = book;
  }

  /** Null: it has its room from now on, until it is removed. Else one sentence why not. */
  admit({ id, spec }: Container): string | null {
    let reserved = noAmounts;
    const making = new Set<string>();
    for (const otherId of this.#book.ids()) {
      const other = this.#book.local(otherId);
      if (other === null || other.status === 'removed') continue;
      if (this.#making.has(otherId) && other.status === 'assigned') making.add(otherId);
      if (otherId !== id && (other.status !== 'assigned' || making.has(otherId))) reserved = addAmounts(reserved, reservationOf(other.spec));
    }
    this.#making.clear();
    for (const otherId of making) this.#making.add(otherId);
    const misfit = explainFit(spec, this.#capacity, reserved);
    if (misfit === null) this.#making.add(id);
    return misfit;
  }
}
