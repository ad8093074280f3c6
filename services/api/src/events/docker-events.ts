// Which of Docker's events a message of the log stands for: a table by event type, pure. What Docker has no word for yields nothing.
// Source: Docker Engine API, "System events", and the words that its daemon uses.
import type { Message } from '@pouch/contracts';
import type { AnyEvent, Container, Exec, Host, Image, Request, Service, Volume } from '@pouch/domain';
import { constants } from 'node:os';

/** As Docker's API sends it; `status`, `id` and `from` are the older spelling of containers' and images' events. */
export interface DockerEvent {
  readonly status?: string;
  readonly id?: string;
  readonly from?: string;
  readonly Type: 'container' | 'image' | 'node' | 'service' | 'volume';
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly scope: 'local' | 'swarm';
  /** Unix seconds. */
  readonly time: number;
  readonly timeNano: bigint;
}

/** A message and when the log took it. */
export interface Told {
  readonly message: Message;
  readonly storedAtMs: number;
}

/** What a message does not say of itself. */
export interface EventContext {
  /** The container before the message; null where it has no message before, or history holds it no more. Asked for of containers only. */
  previous(): Container | null;
  /** A container by id, as it was last. Asked for by execs. */
  container(id: string): Container | null;
}

type Step = Pick<DockerEvent, 'Type' | 'Action' | 'scope'> & { readonly id: string; readonly attributes: Readonly<Record<string, string>>; readonly from?: string };

/** Docker's events of one message, in order. Times are the log's clock, a microsecond apart within a message so that none are the same. */
export function dockerEvents({ message, storedAtMs }: Told, context: EventContext): DockerEvent[] {
  return stepsOf(message, context).map((step, index): DockerEvent => {
    const { Type, Action, scope, id, attributes, from } = step;
    const legacy = scope === 'swarm' ? {} : { status: Action, id, ...(from === undefined ? {} : { from }) };
    return { ...legacy, Type, Action, Actor: { ID: id, Attributes: attributes }, scope, time: Math.floor(storedAtMs / 1000), timeNano: BigInt(Math.trunc(storedAtMs)) * 1_000_000n + BigInt(index) * 1_000n };
  });
}

/** As a JSON line. `timeNano` is beyond what JSON.stringify writes exactly. */
export function dockerEventLine(event: DockerEvent): string {
  const { timeNano, ...rest } = event;
  return `${JSON.stringify(rest).slice(0, -1)},"timeNano":${timeNano}}\n`;
}

function stepsOf(message: Message, context: EventContext): Step[] {
  switch (message.kind) {
    case 'container':
      return message.events.flatMap((event) => containerSteps(event, message as Message<'container'>, context));
    case 'exec':
      return message.events.flatMap((event) => execSteps(event, message.snapshot as Exec, context));
    case 'image':
      return message.events.flatMap((event) => imageSteps(event, message.snapshot as Image));
    case 'host':
      return message.events.flatMap((event) => hostSteps(event, message.snapshot as Host));
    case 'service':
      return message.events.flatMap((event) => serviceSteps(event, message.snapshot as Service));
    case 'volume':
      return message.events.flatMap((event) => volumeSteps(event, message.snapshot as Volume));
    default:
      return [];
  }
}

function containerSteps(event: AnyEvent, { events, snapshot }: Message<'container'>, context: EventContext): Step[] {
  const step = (action: string, more: Readonly<Record<string, string>> = {}) => containerStep(snapshot, action, more);
  switch (event.type) {
    case 'ContainerCreated':
      return [step('create')];
    case 'ContainerStarted': {
      const asked = event.byPolicy ? undefined : requestOf(context.previous(), event.run.startId);
      return asked?.action.kind === 'restart' ? [step('start'), step('restart')] : [step('start')];
    }
    case 'ContainerSignalled':
      return [step('kill', { signal: signalNumber(event.signal) })];
    case 'ContainerOomKilled':
      return [step('oom')];
    case 'ContainerExited': {
      const { exitCode, startedAtMs, finishedAtMs } = event.exit;
      const execDuration = String(Math.max(0, Math.round((finishedAtMs - startedAtMs) / 1000)));
      return [...stopSignals(events, context, step), step('die', { execDuration, exitCode: String(exitCode) })];
    }
    case 'ContainerStopped':
      return [step('stop')];
    case 'ContainerPaused':
      return [step('pause')];
    case 'ContainerUnpaused':
      return [step('unpause')];
    case 'ContainerHealthChanged':
      return [step(`health_status: ${event.health}`)];
    case 'ContainerRenamed':
      return [containerStep({ ...snapshot, name: event.newName }, 'rename', { oldName: `/${event.oldName}` })];
    case 'ContainerReplaced':
      return [containerStep(snapshot, 'rename', { oldName: `/${snapshot.replaced?.name ?? snapshot.name}`, successor: event.successorId })];
    case 'ContainerRemoved':
      return [step('destroy')];
    default:
      return [];
  }
}

/** Docker tells of the signal of a stop before the end that it brings; the log keeps it in the request that was carried out. */
function stopSignals(events: readonly AnyEvent[], context: EventContext, step: (action: string, more: Record<string, string>) => Step): Step[] {
  const stopped = events.find((event) => event.type === 'ContainerStopped');
  if (stopped === undefined) return [];
  const asked = stopped.commandIds.map((id) => requestOf(context.previous(), id)).find((request) => request?.action.kind === 'stop');
  return asked?.action.kind === 'stop' && asked.action.signal !== '' ? [step('kill', { signal: signalNumber(asked.action.signal) })] : [];
}

function requestOf(container: Container | null, commandId: string): Request | undefined {
  return container?.requests.find((request) => request.commandId === commandId);
}

function containerStep(container: Container, action: string, more: Readonly<Record<string, string>>): Step {
  const { spec, name, hostId, id, predecessor } = container;
  // Labels first, so that none of them can pass itself off as what Docker says.
  return { Type: 'container', Action: action, scope: 'local', id, from: spec.image.reference, attributes: { ...spec.labels, image: spec.image.reference, name, 'node.name': hostId, ...(predecessor === undefined ? {} : { predecessor }), ...more } };
}

function execSteps(event: AnyEvent, exec: Exec, context: EventContext): Step[] {
  const command = exec.spec.args.join(' ');
  const step = (action: string, more: Readonly<Record<string, string>> = {}): Step => {
    const container = context.container(exec.containerId);
    if (container !== null) return containerStep(container, action, { execID: exec.id, ...more });
    return { Type: 'container', Action: action, scope: 'local', id: exec.containerId, attributes: { execID: exec.id, 'node.name': exec.hostId, ...more } };
  };
  switch (event.type) {
    case 'ExecCreated':
      return [step(`exec_create: ${command}`)];
    case 'ExecStarted':
      return [step(`exec_start: ${command}`)];
    case 'ExecExited':
      return [step('exec_die', { exitCode: String(event.exitCode) })];
    default:
      return [];
  }
}

function imageSteps(event: AnyEvent, image: Image): Step[] {
  const { record } = image;
  const name = familiarName(image.name);
  const attributes = { ...record.config.labels, 'node.name': image.hostId };
  const step = (action: string, id: string, called: string): Step => ({ Type: 'image', Action: action, scope: 'local', id, attributes: { ...attributes, name: called } });
  switch (event.type) {
    case 'ImageStored':
      switch (event.arrival) {
        case 'pulled':
          return [step('pull', name, withoutTag(name))];
        case 'loaded':
          return [step('load', record.id, name)];
        case 'tagged':
          return [step('tag', record.id, name)];
        default:
          return [];
      }
    case 'ImageUntagged':
      return event.deleted ? [step('untag', record.id, record.id), step('delete', record.id, record.id)] : [step('untag', record.id, record.id)];
    default:
      return [];
  }
}

/** Docker knows hosts as nodes of a swarm. */
function hostSteps(event: AnyEvent, host: Host): Step[] {
  const step = (action: string, more: Readonly<Record<string, string>> = {}): Step => ({ Type: 'node', Action: action, scope: 'swarm', id: host.id, attributes: { name: host.facts.hostname, ...more } });
  switch (event.type) {
    case 'HostJoined':
      return [step('create')];
    case 'HostLost':
      return [step('update', { 'state.old': 'ready', 'state.new': 'down' })];
    case 'HostReturned':
      return [step('update', { 'state.old': 'down', 'state.new': 'ready' })];
    case 'HostCordoned':
      return [step('update', { 'availability.old': 'active', 'availability.new': 'pause' })];
    case 'HostUncordoned':
      return [step('update', { 'availability.new': 'active' })];
    case 'HostDrainBegun':
      return [step('update', { 'availability.new': 'drain' })];
    case 'HostLabelled':
      return [step('update')];
    case 'HostRemoved':
      return [step('remove')];
    default:
      return [];
  }
}

/** Mounting is not told: the log has the containers' starts. */
function volumeSteps(event: AnyEvent, { name, hostId }: Volume): Step[] {
  const step = (action: string): Step => ({ Type: 'volume', Action: action, scope: 'local', id: name, attributes: { driver: 'local', ...(hostId === null ? {} : { 'node.name': hostId }) } });
  switch (event.type) {
    case 'VolumeCreated':
      return [step('create')];
    case 'VolumeRemoved':
      return [step('destroy')];
    default:
      return [];
  }
}

/** What people see of a service; what becomes of its tasks is told by their containers. */
function serviceSteps(event: AnyEvent, service: Service): Step[] {
  const step = (action: string, more: Readonly<Record<string, string>> = {}): Step => ({ Type: 'service', Action: action, scope: 'swarm', id: service.uid, attributes: { name: service.name, ...more } });
  switch (event.type) {
    case 'ServiceCreated':
      return [step('create')];
    case 'ServiceUpdated':
      return [step('update', { 'replicas.new': String(event.spec.replicas), ...(service.rollout?.state === 'updating' ? { 'updatestate.new': 'updating' } : {}) })];
    case 'ServiceRolledBack':
      return [step('update', { 'updatestate.new': 'rollback_started' })];
    case 'ServiceRolloutEnded':
      return [step('update', { 'updatestate.new': event.state })];
    case 'ServiceRemovalRequested':
      return [step('remove')];
    default:
      return [];
  }
}

/** `docker.io/library/busybox:latest` → `busybox:latest`, as people write it. */
export function familiarName(canonical: string): string {
  return canonical.replace(/^docker\.io\/(library\/)?/, '');
}

/** Without tag or digest: the colon of a registry's port is no tag. */
export function withoutTag(name: string): string {
  const [plain = name] = name.split('@');
  const colon = plain.lastIndexOf(':');
  return colon > plain.lastIndexOf('/') ? plain.slice(0, colon) : plain;
}

function signalNumber(signal: string): string {
  const number = (constants.signals as Readonly<Record<string, number>>)[signal];
  return number === undefined ? signal : String(number);
}
