// The key sequence that leaves a container's terminal without ending anything (ctrl-p ctrl-q). Pure: bytes in, bytes out.
import { UsageError } from '../errors.ts';

export const defaultDetachKeys = 'ctrl-p,ctrl-q';

/** `ctrl-p,ctrl-q` or `a,b`: single characters, or ctrl- with a letter or one of `@ [ \ ] ^ _`. */
export function toDetachKeys(text: string): Uint8Array {
  const bytes = text.split(',').map((key) => {
    if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key.toLowerCase())?.[1];
    if (control === undefined) throw new UsageError(`--detach-keys ${text}: expected keys such as ctrl-p,ctrl-q`);
    return control.toUpperCase().charCodeAt(0) & 0x1f;
  });
  return Uint8Array.from(bytes);
}

/** Passes input on and watches for the sequence. A beginning of it is held back until the next key decides. */
export class DetachKeys {
  private readonly keys: Uint8Array;
  private held: number[] = [];

  constructor(keys: Uint8Array) {
    this.keys = keys;
  }

  /** `forward`: what goes to the container. After `detached` nothing more may be pushed. */
  push(chunk: Uint8Array): { forward: Uint8Array; detached: boolean } {
    const forward: number[] = [];
    for (const byte of chunk) {
      this.held.push(byte);
      while (!this.held.every((one, at) => one === this.keys[at])) forward.push(this.held.shift() as number);
      if (this.held.length === this.keys.length) return { forward: Uint8Array.from(forward), detached: true };
    }
    return { forward: Uint8Array.from(forward), detached: false };
  }
}
