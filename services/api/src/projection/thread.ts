// The projector's thread as the main thread holds it: starts it, hears it, and ends it. Decides nothing about what it says.
import { Worker } from 'node:worker_threads';
import type { FromProjector, ProjectorSettings, ToProjector } from './protocol.ts';

export interface ThreadListeners {
  readonly onMessage: (message: FromProjector) => void;
  /** It ended without being asked to. Told once. */
  readonly onDeath: (error: string) => void;
}

/** How long a thread may take to finish its batch when it is asked to end; then it is cut off, which the next start repairs. */
const stopTimeoutMs = 5_000;

export class ProjectorThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #stopping = false;
  #unusable = false;

  constructor(settings: ProjectorSettings, listeners: ThreadListeners) {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings, name: 'projector' });
    this.#worker = worker;
    let error = '';
    worker.on('message', (message: FromProjector) => {
      if (this.#stopping) return;
      if (message.type === 'unusable') this.#unusable = true;
      listeners.onMessage(message);
    });
    worker.on('error', (thrown: unknown) => {
      error = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    });
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        resolve();
        if (!this.#stopping && !this.#unusable) listeners.onDeath(error === '' ? `exit code ${code}` : error);
      });
    });
  }

  /** Ends it after the batch at hand. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const stop: ToProjector = { type: 'stop' };
    this.#worker.postMessage(stop);
    const timer = setTimeout(() => void this.#worker.terminate(), stopTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
  }
}
