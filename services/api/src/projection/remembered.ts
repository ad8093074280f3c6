// Answers that nearly every request needs and few messages change: kept until a message of the kind that they follow from is committed. Knows nothing
// of what they are. Bounded; who reads them must not change them.

/** Answers of one kind; beyond, they are forgotten and read anew. */
const maxOfKind = 512;

export class Remembered {
  /** By kind of aggregate, then by the question. */
  readonly #answers = new Map<string, Map<string, unknown>>();

  /** What was answered to `question` since the last message of `kind`; else what `read` answers, which must follow from aggregates of that kind only. */
  answer<T>(kind: string, question: string, read: () => T): T {
    let ofKind = this.#answers.get(kind);
    if (ofKind === undefined) this.#answers.set(kind, (ofKind = new Map()));
    if (ofKind.has(question)) return ofKind.get(question) as T;
    const answer = read();
    if (ofKind.size >= maxOfKind) ofKind.clear();
    ofKind.set(question, answer);
    return answer;
  }

  /** These have changed; null: any may have. To be told before anybody who may ask is woken. */
  changed(subjects: readonly string[] | null): void {
    if (subjects === null) return this.#answers.clear();
    for (const kind of this.#answers.keys()) if (subjects.some((subject) => subject.startsWith(`evt.${kind}.`))) this.#answers.delete(kind);
  }
}
