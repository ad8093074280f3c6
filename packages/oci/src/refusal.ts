// How this package says no: every refusal is a value, never an exception. Holds no rule of its own.
// A room that finds something wrong notes it in `Findings` and goes on; the public function then answers with the first refusal.

/** What the person asked for cannot be. `field` names Docker's field, e.g. `HostConfig.Sysctls`; `message` is one sentence for a person. */
export interface SpecRefusal {
  readonly code: 'bad-parameter';
  readonly field: string;
  readonly message: string;
}

/** A public function's answer: its result beside `ok: true`, or why there is none. */
export type Outcome<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly refusal: SpecRefusal };

/** What building a spec found out besides the spec. Lives for one call. */
export class Findings {
  /** Sentences about what was changed to fit the host. */
  readonly warnings: string[] = [];
  #first: SpecRefusal | undefined;

  warn(message: string): void {
    this.warnings.push(message);
  }

  refuse(field: string, message: string): void {
    this.#first ??= { code: 'bad-parameter', field, message };
  }

  /** The result, unless something was refused. */
  outcome<T>(result: T): Outcome<T> {
    return this.#first === undefined ? { ok: true, ...result } : { ok: false, refusal: this.#first };
  }
}
