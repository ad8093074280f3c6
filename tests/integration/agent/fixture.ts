// An agent with real NATS, containerd and runc, and somebody who plays scheduler and api: appends what is wanted, waits for what is told.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { load } from '@pouch/containerd';
import { containerSubject, containersOfHost, execSubject, messageVersion, toMessage, type HostPipeName, type HostPipes, type Message, type Recorded } from '@pouch/contracts';
import {
  containerId, decideContainer, decideExec, execId as toExecId, fold, hostId, imageId,
  type Action, type Container, type ContainerCommand, type ContainerEvent, type ContainerId, type ContainerSpec, type Exec, type ExecSpec,
} from '@pouch/domain';
import { ConflictError, connectNats, LogChangedError, NatsEventLog, type NatsLink, type Subscription } from '@pouch/eventlog';
import { HostClient } from '@pouch/pipes';
import { createLogger } from '@pouch/process';
import { startAgent, type Agent } from '../../../services/agent/src/agent.ts';
import { readConfig } from '../../../services/agent/src/config.ts';
import { removeCgroups, removeNetwork } from '../../../scripts/cluster/leftovers.ts';
import { startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { aSpec } from '../../fixtures/domain.ts';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

export const host = hostId('test-host');
const waitMs = 90_000;
const logger = createLogger({ service: 'test', level: (process.env['POUCH_TEST_LOG'] ?? 'silent') as 'silent' });
const main = join(import.meta.dirname, '../../../services/agent/src/main.ts');

export interface Fixture {
  readonly nats: NatsFixture;
  readonly containerd: TestContainerd;
  readonly log: NatsEventLog<Message>;
  readonly link: NatsLink;
  /** The agent in this process, if `startAgent` was used. */
  agent(): Agent;
  startAgent(): Promise<Agent>;
  stopAgent(): Promise<void>;
  /** The agent as a process of its own. */
  spawnAgent(): Promise<ChildProcess>;
  /** Appends the first message of a container; answers with its id. */
  assign(different?: Partial<ContainerSpec>): Promise<ContainerId>;
  request(id: ContainerId, action: Action): Promise<string>;
  /** Waits until the log's snapshot of a container is as wanted. */
  until<C extends Container = Container>(id: ContainerId, wanted: (container: Container) => boolean, what?: string): Promise<C>;
  untilStatus<S extends Container['status']>(id: ContainerId, status: S): Promise<Extract<Container, { status: S }>>;
  /** Assigned and created. */
  created(different?: Partial<ContainerSpec>): Promise<ContainerId>;
  /** Calls and pipes, as an api makes them. */
  readonly client: HostClient;
  /** Opens a pipe, ends its input with `input`, and reads it to its end; without a terminal the two streams are taken apart. */
  converse<N extends HostPipeName>(name: N, params: HostPipes[N]['params'], input?: string | null): Promise<Conversation<N>>;
  /** Appends an exec, as the api does. */
  execOf(containerId: ContainerId, different?: Partial<ExecSpec>): Promise<{ containerId: string; execId: string; spec: ExecSpec; detach: boolean; consoleSize: null; actor: string; created: { seq: number; atMs: number } }>;
  exec(execId: string): Promise<Exec | null>;
  /** Events of a container so far, in order. */
  events(id: ContainerId): ContainerEvent[];
  /** What a container has written, by its log. */
  output(id: ContainerId): Promise<string>;
  directory: string;
  stop(): Promise<void>;
}

export interface Conversation<N extends HostPipeName> {
  readonly trailer: HostPipes[N]['trailer'];
  readonly stdout: string;
  readonly stderr: string;
  readonly raw: Buffer;
}

/** Takes Docker's frames apart. */
export function unframe(raw: Buffer): { stdout: string; stderr: string } {
  const texts = ['', '', ''];
  for (let at = 0; at + 8 <= raw.length;) {
    const length = raw.readUInt32BE(at + 4);
    texts[raw[at] ?? 0] += raw.subarray(at + 8, at + 8 + length).toString();
    at += 8 + length;
  }
  return { stdout: texts[1] ?? '', stderr: texts[2] ?? '' };
}

export async function startFixture({ env = {} }: { env?: Record<string, string> } = {}): Promise<Fixture> {
  const nats = await startNats();
  const containerd = await startContainerd({ namespace: 'pouch' }).catch(async (error: unknown) => {
    await nats.stop();
    throw error;
  });
  const link = connectNats({ servers: nats.url, name: 'test', logger });
  const log = new NatsEventLog<Message>({ link, logger, check: toMessage });
  await log.ready(30_000);
  const [image] = await load(containerd.client, Readable.from([await dockerArchive([await busyboxImage()])]));
  if (image === undefined) throw new Error('no image was loaded');
  const pin = { reference: 'busybox', name: 'docker.io/library/busybox:latest', id: imageId(image.imageId), manifestDigest: image.manifestDigest };
  const directory = join(containerd.directory, 'agent');
  mkdirSync(directory);
  const variables: Record<string, string> = {
    POUCH_HOST_ID: host, POUCH_NATS_URL: nats.url, POUCH_CONTAINERD_SOCKET: containerd.socketPath, POUCH_DATA_DIR: join(directory, 'data'), POUCH_RUN_DIR: join(directory, 'run'),
    POUCH_BRIDGE: `pa${randomBytes(4).toString('hex')}`, POUCH_SUBNET: `10.190.${randomBytes(1)[0] ?? 0}.0/24`, POUCH_CGROUP_PARENT: `pouch-test-${randomBytes(4).toString('hex')}`, POUCH_LOG_LEVEL: process.env['POUCH_TEST_LOG'] ?? 'silent', PATH: process.env['PATH'] ?? '', ...env,
  };
  const config = readConfig(variables);
  const heads = new Map<string, Recorded<'container'>>();
  const history = new Map<string, ContainerEvent[]>();
  const waiting = new Set<() => void>();
  const follow = (): Subscription => log.follow({
    filter: containersOfHost(host), from: { seq: 1 },
    onMessages: (messages) => {
      for (const recorded of messages as readonly Recorded<'container'>[]) {
        heads.set(recorded.subject, recorded);
        history.set(recorded.subject, [...(history.get(recorded.subject) ?? []), ...recorded.message.events]);
      }
      for (const look of waiting) look();
    },
    onFailed: (error) => {
      if (!(error instanceof LogChangedError)) throw error;
      heads.clear();
      subscription = follow(); // a test has begun the log anew
    },
  });
  let subscription = follow();
  const client = new HostClient(await link.connection());
  const children = new Set<ChildProcess>();
  let running: { agent: Agent; links: NatsLink[] } | null = null;

  async function append(id: ContainerId, command: ContainerCommand, commandId: string): Promise<void> {
    const subject = containerSubject(host, id);
    for (let tries = 0; tries < 50; tries++) {
      const last = await log.last(subject);
      const state = (last?.message.snapshot ?? null) as Container | null;
      const decision = decideContainer(state, command, Date.now());
      if (!decision.ok) throw Object.assign(new Error(decision.refusal.message), { code: decision.refusal.code });
      if (decision.events.length === 0) return;
      const snapshot = fold('container', state, decision.events) as Container;
      try {
        await log.append({ subject, expectedSeq: last?.seq ?? 0, message: { v: messageVersion, id: commandId, kind: 'container', events: decision.events, snapshot, meta: { atMs: Date.now(), service: 'api', actor: 'test', cause: null } } });
        return;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
      }
    }
    throw new Error('too many conflicts');
  }

  const fixture: Fixture = {
    nats, containerd, log, link, directory, client,
    async converse(name, params, input = '') {
      const pipe = await client.open(host, name, params);
      if (input !== null) pipe.end(input);
      const raw = await buffer(pipe);
      const trailer = await pipe.trailer;
      return { raw, trailer, ...unframe(raw) };
    },
    async execOf(id, different = {}) {
      const execId = toExecId(randomBytes(32).toString('hex'));
      const spec: ExecSpec = { args: ['true'], env: [], workingDir: '', user: '', tty: false, attach: { stdin: false, stdout: true, stderr: true }, privileged: false, detachKeys: '', ...different };
      const atMs = Date.now();
      const decision = decideExec(null, { type: 'CreateExec', id: execId, hostId: host, containerId: id, spec }, atMs);
      if (!decision.ok) throw new Error(decision.refusal.message);
      const { seq } = await log.append({ subject: execSubject(host, execId), expectedSeq: 0, message: { v: messageVersion, id: randomUUID(), kind: 'exec', events: decision.events, snapshot: fold('exec', null, decision.events) as Exec, meta: { atMs: Date.now(), service: 'api', actor: 'test', cause: null } } });
      return { containerId: id, execId, spec, detach: false, consoleSize: null, actor: 'test', created: { seq, atMs } };
    },
    async exec(execId) {
      return ((await log.last(execSubject(host, toExecId(execId))))?.message.snapshot ?? null) as Exec | null;
    },
    agent() {
      if (running === null) throw new Error('no agent runs');
      return running.agent;
    },
    async startAgent() {
      const links = ['agent', 'pipes'].map((name) => connectNats({ servers: nats.url, name, logger }));
      running = { agent: await startAgent({ config, logger, link: links[0]!, pipesLink: links[1]! }), links };
      await (await links[1]!.connection()).flush(); // its subscriptions are at the server: it can be asked
      return running.agent;
    },
    async stopAgent() {
      const stopping = running;
      running = null;
      await stopping?.agent.stop();
      await Promise.all(stopping?.links.map((one) => one.close()) ?? []);
    },
    async spawnAgent() {
      const child = spawn(process.execPath, [main], { env: variables, stdio: ['ignore', 'inherit', 'inherit'] });
      children.add(child);
      child.once('exit', () => children.delete(child));
      await once(child, 'spawn');
      return child;
    },
    async assign(different = {}) {
      const id = containerId(randomBytes(32).toString('hex'));
      const spec = aSpec({ image: pin, cmd: ['sleep', '1000'], env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], hostname: id.slice(0, 12), ...different });
      await append(id, { type: 'AssignContainer', id, hostId: host, name: `c-${id.slice(0, 8)}`, spec }, randomUUID());
      return id;
    },
    async request(id, action) {
      const commandId = randomUUID();
      await append(id, { type: 'RequestAction', commandId, action }, commandId);
      return commandId;
    },
    async until(id, wanted, what = wanted.toString()) {
      const subject = containerSubject(host, id);
      const deadline = Date.now() + waitMs;
      for (;;) {
        const found = heads.get(subject)?.message.snapshot;
        if (found !== undefined && wanted(found)) return found as never;
        const restMs = deadline - Date.now();
        if (restMs <= 0) throw new Error(`container ${id.slice(0, 12)} did not come to be: ${what}; it is ${JSON.stringify({ ...found, spec: undefined })}; events ${JSON.stringify(history.get(subject)?.map(({ type }) => type))}`);
        await new Promise<void>((resolve) => {
          const done = (): void => { clearTimeout(timer); waiting.delete(done); resolve(); };
          const timer = setTimeout(done, Math.min(restMs, 1_000));
          waiting.add(done);
        });
      }
    },
    async untilStatus(id, status) {
      return await fixture.until(id, (container) => container.status === status || container.status === 'removed', `status ${status}`).then((container) => {
        if (container.status !== status) throw new Error(`container is ${JSON.stringify({ ...container, spec: undefined })}, not ${status}`);
        return container as never;
      });
    },
    async created(different) {
      const id = await fixture.assign(different);
      await fixture.untilStatus(id, 'created');
      return id;
    },
    events: (id) => history.get(containerSubject(host, id)) ?? [],
    async output(id) {
      const { LogCursor } = await import('../../../services/agent/src/streams/log-files.ts');
      const cursor = new LogCursor(join(directory, 'data', 'containers', id, 'log'));
      let text = '';
      for (let records = await cursor.read(); records.length > 0; records = await cursor.read()) {
        for (const record of records) if (record.kind === 'stdout' || record.kind === 'stderr') text += record.data.toString();
      }
      await cursor.close();
      return text;
    },
    async stop() {
      try {
        for (const child of children) {
          child.kill('SIGKILL');
          await once(child, 'exit');
        }
        await fixture.stopAgent();
        client.close();
        await subscription.stop();
        await log.close();
        await link.close();
      } finally {
        await Promise.allSettled([containerd.stop(), nats.stop()]);
        await removeCgroups(variables['POUCH_CGROUP_PARENT'] as string);
        await removeNetwork({ bridge: variables['POUCH_BRIDGE'] as string });
      }
    },
  };
  return fixture;
}

/** What containers can leave behind on a host, counted; paths are the test's own. */
export function leftovers({ directory, containerd }: Pick<Fixture, 'directory' | 'containerd'>): Record<string, string[]> {
  const list = (path: string): string[] => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  };
  return {
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${containerd.directory}/`)),
    containers: list(join(directory, 'data', 'containers')),
    io: list(join(directory, 'run', 'io')),
    netns: list(join(directory, 'run', 'netns')),
  };
}

/** Looks until `check` holds. */
export async function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await delay(20);
  }
}
