// The live event stream, decoded. Events that happen while nobody is subscribed are lost: callers reconcile at every (re)subscription.
import { randomUUID } from 'node:crypto';
import { ContainerdError, fromGrpc } from './errors.ts';
import { method } from './protos.ts';
import type { CallOptions, Rpc } from './rpc.ts';
import { decodeAny, timestampText, type Any, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.events.v1.Events';
const PROBE_TOPIC = '/subscriber/ready';
const PROBE_INTERVAL_MS = 25;
const READY_TIMEOUT_MS = 10_000;

type Base = { namespace: string; topic: string; timestamp: string | null };
/** An event. `execId` is empty for a container's first process (a task-exit's `id` equals the container's id then). */
export type ContainerdEvent = Base & (
  | { type: 'task-create'; containerId: string; pid: number; bundle: string }
  | { type: 'task-start'; containerId: string; pid: number }
  | { type: 'task-exit'; containerId: string; execId: string; pid: number; exitStatus: number; exitedAt: string | null }
  | { type: 'task-delete'; containerId: string; execId: string; pid: number; exitStatus: number; exitedAt: string | null }
  | { type: 'task-oom'; containerId: string }
  | { type: 'exec-added'; containerId: string; execId: string }
  | { type: 'exec-started'; containerId: string; execId: string; pid: number }
  | { type: 'task-paused'; containerId: string }
  | { type: 'task-resumed'; containerId: string }
  | { type: 'other'; event: Any | null }
);

/** A running subscription. */
export type Subscription = {
  /** Settles when the stream has ended: with undefined after `close`, else with what broke it. Never rejects. */
  ended: Promise<ContainerdError | undefined>;
  /** Cancels the stream; no event is handed over afterwards. */
  close(): void;
};

type Envelope = { namespace: string; topic: string; timestamp: WireTimestamp; event: Any | null };

export class Events {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /**
   * Subscribes and resolves once events certainly arrive: what happens after that is not missed, so a caller that then lists tasks has
   * the whole picture. Filters are containerd's (any of them must match), e.g. `topic=="/tasks/exit"`, `topic~="^/tasks/"`; by default
   * all events of the client's namespace. `onEvent` is called synchronously, in order; nothing is queued.
   */
  async subscribe(filters: string[], onEvent: (event: ContainerdEvent) => void, options: Pick<CallOptions, 'signal'> = {}): Promise<Subscription> {
    const { path } = method(`${SERVICE}/Subscribe`);
    const probe = randomUUID();
    const own = `namespace==${this.#rpc.namespace}`;
    const wanted = filters.length === 0 ? [own] : filters.map((filter) => `${own},${filter}`);
    const stream = this.#rpc.openStream(`${SERVICE}/Subscribe`, { filters: [...wanted, `${own},topic=="${PROBE_TOPIC}"`] });
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ContainerdError | undefined>();
    let open = true;
    const end = (error?: ContainerdError) => {
      if (!open) return;
      open = false;
      options.signal?.removeEventListener('abort', close);
      ready.reject(error ?? new ContainerdError('cancelled', 'Events.Subscribe', 'closed before it was ready'));
      ended.resolve(error);
    };
    const close = () => { end(); stream.cancel(); };
    stream.on('data', (item: object) => {
      if (!open) return;
      const envelope = item as Envelope;
      if (envelope.topic === PROBE_TOPIC) {
        if (envelope.event !== null && Buffer.from(envelope.event.value).toString() === probe) ready.resolve();
        return;
      }
      onEvent(decodeEvent(envelope));
    });
    stream.on('error', (error) => { end(fromGrpc(error, path)); });
    stream.on('end', () => { end(new ContainerdError('unavailable', 'Events.Subscribe', 'the stream ended')); });
    options.signal?.addEventListener('abort', close, { once: true });
    if (options.signal?.aborted) close();
    try {
      await this.#untilReady(ready.promise, probe);
    } catch (error) {
      close();
      throw error;
    }
    return { ended: ended.promise, close };
  }

  // containerd sends nothing when a subscription stands, so a probe of our own is published until it comes back.
  async #untilReady(ready: Promise<void>, probe: string): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let isReady = false;
    const seen = ready.then(() => { isReady = true; });
    seen.catch(() => { /* the race below throws it, unless publishing has failed first */ });
    while (!isReady) {
      if (Date.now() > deadline) throw new ContainerdError('deadline', 'Events.Subscribe', `no event came back within ${READY_TIMEOUT_MS} ms`);
      await this.#rpc.unary(`${SERVICE}/Publish`, { topic: PROBE_TOPIC, event: { type_url: 'subscriber.ready', value: Buffer.from(probe) } });
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([seen, new Promise((resolve) => { timer = setTimeout(resolve, PROBE_INTERVAL_MS); })]);
      clearTimeout(timer);
    }
  }
}

type Payload = { containerId: string; id: string; execId: string; pid: number; exitStatus: number; exitedAt: WireTimestamp; bundle: string };

/** Decodes one envelope; an event without a type of its own becomes `other`. */
function decodeEvent({ namespace, topic, timestamp, event }: Envelope): ContainerdEvent {
  const base: Base = { namespace, topic, timestamp: timestampText(timestamp) };
  const decoded = decodeAny(event);
  if (decoded === undefined) return { ...base, type: 'other', event };
  const payload = decoded.value as Payload;
  const { containerId, pid } = payload;
  const exit = () => ({ containerId, pid, execId: payload.id === containerId ? '' : payload.id, exitStatus: payload.exitStatus, exitedAt: timestampText(payload.exitedAt) });
  switch (decoded.typeName) {
    case 'containerd.events.TaskCreate': return { ...base, type: 'task-create', containerId, pid, bundle: payload.bundle };
    case 'containerd.events.TaskStart': return { ...base, type: 'task-start', containerId, pid };
    case 'containerd.events.TaskExit': return { ...base, type: 'task-exit', ...exit() };
    case 'containerd.events.TaskDelete': return { ...base, type: 'task-delete', ...exit() };
    case 'containerd.events.TaskOOM': return { ...base, type: 'task-oom', containerId };
    case 'containerd.events.TaskExecAdded': return { ...base, type: 'exec-added', containerId, execId: payload.execId };
    case 'containerd.events.TaskExecStarted': return { ...base, type: 'exec-started', containerId, execId: payload.execId, pid };
    case 'containerd.events.TaskPaused': return { ...base, type: 'task-paused', containerId };
    case 'containerd.events.TaskResumed': return { ...base, type: 'task-resumed', containerId };
    default: return { ...base, type: 'other', event };
  }
}
