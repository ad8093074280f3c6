// Machines that run for somebody's copy, of containers that do not run: booted for the first copy, kept a little for the next, and ended by whoever starts or
// removes the container. Knows nothing of how one is booted.
import { setTimeout as delay } from 'node:timers/promises';
import { FilesError, FilesOp, type FilesHelper } from '@pouch/native';
import { OperatingError } from '@pouch/process';

/** At once on one host: each has the memory of a container that runs. */
export const maxHeld = 8;
/** A client looks at a path first and copies then, by requests of their own. */
const lingerMs = 5_000;
/** A cold boot without acceleration, on a busy host. */
const bootMs = 90_000;
/** Until what was written is on its disk. */
const endMs = 60_000;

interface Held {
  readonly ready: Promise<void>;
  /** Null before there is one. */
  helper: FilesHelper | null;
  isReady: boolean;
  users: number;
  lingering: NodeJS.Timeout | null;
  ended: Promise<void> | null;
}

export interface HeldMachinesDeps {
  /** Takes away what is left of one that did not end by itself, also of an earlier agent's. Nothing there is no error. */
  readonly clear: (containerId: string) => Promise<void>;
  readonly bootMs?: number;
  readonly lingerMs?: number;
}

export class HeldMachines {
  readonly #deps: Required<HeldMachinesDeps>;
  readonly #held = new Map<string, Held>();

  constructor(deps: HeldMachinesDeps) {
    this.#deps = { bootMs, lingerMs, ...deps };
  }

  /**
   * Resolves once the guest can be asked; what it resolves to is called when that is done. `boot` starts the machine: a helper that says OPENED when its guest
   * runs and ends with its input. Registered at once: an `end` that is asked for after this call ends it. Throws `conflict` then, and `unavailable`.
   */
  async take(containerId: string, boot: () => Promise<FilesHelper>): Promise<() => void> {
    const before = this.#held.get(containerId);
    if (before !== undefined && before.ended === null) return await this.#use(containerId, before);
    const room = before === undefined && this.#held.size >= maxHeld ? this.#makeRoom() : before?.ended?.catch(() => undefined); // the boot clears up again
    const held: Held = { ready: this.#boot(containerId, () => held, room ?? null, boot), helper: null, isReady: false, users: 0, lingering: null, ended: null };
    this.#held.set(containerId, held);
    return await this.#use(containerId, held);
  }

  /** Ends a container's machine; when it resolves, nothing holds its disk. */
  async end(containerId: string): Promise<void> {
    const held = this.#held.get(containerId);
    await (held === undefined ? this.#deps.clear(containerId) : this.#end(containerId, held));
  }

  async #use(containerId: string, held: Held): Promise<() => void> {
    if (held.lingering !== null) clearTimeout(held.lingering);
    held.users++;
    const leave = (): void => {
      held.users--;
      if (held.users > 0 || held.ended !== null) return;
      held.lingering = setTimeout(() => this.#endUnasked(containerId, held), this.#deps.lingerMs).unref();
    };
    try {
      await held.ready;
    } catch (error) {
      held.users--;
      throw error;
    }
    return leave;
  }

  /** One that nobody uses just now ends for another. Throws where there is none. */
  #makeRoom(): Promise<void> {
    const idle = [...this.#held].find(([, held]) => held.users === 0);
    if (idle === undefined) throw new OperatingError('unavailable', `${maxHeld} virtual machines run on this host for the files of containers that do not run: try again`, { retryable: true });
    return this.#end(...idle);
  }

  async #boot(containerId: string, own: () => Held, room: Promise<void> | null, boot: () => Promise<FilesHelper>): Promise<void> {
    try {
      await room;
      await this.#deps.clear(containerId);
      requireWanted(own());
      const helper = own().helper = await boot();
      requireWanted(own());
      await this.#opened(containerId, helper, own());
    } catch (error) {
      // Whoever ended it waits for this; its own end would wait for itself.
      const broken = own().ended !== null;
      if (!broken) this.#endUnasked(containerId, own());
      throw broken ? new OperatingError('conflict', `Container ${containerId} was started or removed while its files were looked for: try again`, { cause: error }) : error;
    }
  }

  async #opened(containerId: string, helper: FilesHelper, held: Held): Promise<void> {
    const late = new AbortController();
    const tooLate = delay(this.#deps.bootMs, undefined, { ref: false, signal: late.signal }).then(() => { throw new FilesError('HELPER_DIED', 'its virtual machine did not boot in time'); });
    tooLate.catch(() => undefined); // told by the race, or called off
    try {
      await Promise.race([helper.expect(FilesOp.opened), tooLate]);
    } finally {
      late.abort();
    }
    held.isReady = true;
    // It says no more: this comes back when the machine has ended, for whatever reason.
    const ended = (): void => this.#endUnasked(containerId, held);
    helper.next().then(ended, ended);
  }

  /** What could not be cleared up is by the next one that asks for this container. */
  #endUnasked(containerId: string, held: Held): void {
    this.#end(containerId, held).catch(() => undefined);
  }

  #end(containerId: string, held: Held): Promise<void> {
    held.ended ??= this.#endNow(containerId, held);
    return held.ended;
  }

  async #endNow(containerId: string, held: Held): Promise<void> {
    if (held.lingering !== null) clearTimeout(held.lingering);
    const stop = async (): Promise<void> => await held.helper?.end(held.isReady ? { patienceMs: endMs } : { abort: true });
    try {
      await stop();
      await held.ready.catch(() => undefined); // told to whoever waits for it
      await stop(); // one that had not been started when it was to end
      await this.#deps.clear(containerId);
    } finally {
      if (this.#held.get(containerId) === held) this.#held.delete(containerId);
    }
  }
}

function requireWanted({ ended }: Held): void {
  if (ended !== null) throw new FilesError('HELPER_DIED', 'its virtual machine was ended while it booted');
}
