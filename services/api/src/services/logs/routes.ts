// Docker's logs of services and of tasks. What a replica wrote is read from its host as a container's is; here it is decided whose is read, and how it is sent.
import { setTimeout as delay } from 'node:timers/promises';
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerServiceLogsQuery, serviceSubject } from '@pouch/contracts';
import { taskName, type Service } from '@pouch/domain';
import { logsAsked } from '../../containers/log-query.ts';
import { requireReadableLog, streamType } from '../../containers/streams.ts';
import type { Deps } from '../../deps.ts';
import { HttpError } from '../../errors.ts';
import { defaultStreamLimits, StreamWriter } from '../../events/stream-writer.ts';
import type { Projection } from '../../projection/projection.ts';
import { requireService, requireTask, services, taskIdOf } from '../tasks.ts';
import { written } from './lines.ts';
import { MergedLogs, ReadingPlaces, type Source, type Sources } from './merged.ts';

type Asked = { Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerServiceLogsQuery> };
const tags = ['Service'];

/** Replicas read at once for all clients of this process; a pipe's window each, where clients do not read. */
const maxPlaces = 1_024;
/** A client may look at what it has for as long: it holds up nobody but its replicas' pipes. */
const stallMs = 24 * 60 * 60_000;
/** Replicas are looked for again when something of the service has changed, so soon after the time before; and after so long in any case. */
const relistMs = { least: 100, most: 5_000 };

export async function serviceLogRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  const places = new ReadingPlaces(maxPlaces);
  const { projection } = deps;
  const schema = (summary: string) => ({ schema: { summary, tags, params: DockerIdParams, querystring: DockerServiceLogsQuery } });
  app.get<Asked>('/services/:id/logs', schema("A service's output so far, and as it comes"), async (request, reply) => {
    const asked = logsAsked(request.query, deps.clock.now());
    const { state } = requireService(projection, request.params.id);
    await sendLogs(deps, places, { service: state, only: null, asked }, request, reply);
  });
  app.get<Asked>('/tasks/:id/logs', schema("A replica's output so far, and as it comes"), async (request, reply) => {
    const asked = logsAsked(request.query, deps.clock.now());
    const { service, task } = requireTask(projection, request.params.id);
    await sendLogs(deps, places, { service, only: task.id, asked }, request, reply);
  });
}

interface Wanted {
  readonly service: Service;
  /** The container of the one task that is asked for. */
  readonly only: string | null;
  readonly asked: ReturnType<typeof logsAsked>;
}

async function sendLogs({ hosts, projection, clock, logger }: Deps, places: ReadingPlaces, { service, only, asked }: Wanted, request: FastifyRequest<Asked>, reply: FastifyReply): Promise<void> {
  const [template] = service.spec.templates;
  if (template !== undefined) requireReadableLog(template);
  if (!places.take()) throw new HttpError(503, `the output of ${maxPlaces} replicas is being read already: try again later`);
  places.give();
  const raw = template?.tty === true;
  const shape = { timestamps: asked.timestamps, details: request.query.details === true, raw };
  reply.hijack();
  const writer = new StreamWriter(reply.raw, { ...defaultStreamLimits, stallMs });
  writer.begin({ ...reply.getHeaders(), 'content-type': streamType(request, raw) });
  // Ends what is read also where the client takes nothing for too long.
  const stalled = new AbortController();
  const signal = AbortSignal.any([writer.signal, stalled.signal]);
  const merged = new MergedLogs({
    hosts, asked, places, signal, sources: new ReplicaSources(projection, service, only), nowMs: () => clock.now(),
    pause: async (ms, during) => { await delay(ms, undefined, { signal: during }).catch(() => undefined); },
    write: async (line, { hostId, containerId }) => {
      const outcome = await writer.write(written(line, { hostId, serviceUid: service.uid, taskId: taskIdOf(containerId) }, shape));
      if (outcome === 'stalled') stalled.abort(new Error('the client takes nothing'));
      signal.throwIfAborted();
    },
  });
  try {
    await merged.run();
    writer.end();
  } catch (error) {
    if (!signal.aborted) logger.warn({ service: service.name, err: error }, 'logs of a service broke off');
    reply.raw.destroy();
  }
}

/** Replicas as the projection shows them: those that the service has, and those that ended and are not cleared up yet. */
class ReplicaSources implements Sources {
  readonly #projection: Projection;
  readonly #service: Service;
  readonly #only: string | null;
  #changedAtMs = 0;

  constructor(projection: Projection, service: Service, only: string | null) {
    this.#projection = projection;
    this.#service = service;
    this.#only = only;
  }

  /** Null: it was removed. */
  #now(): Service | null {
    return services(this.#projection).find(({ uid }) => uid === this.#service.uid) ?? null;
  }

  list(): readonly Source[] {
    const { present } = this.#projection;
    const lost = new Set<string>(present.hosts().filter(({ state }) => state.state === 'lost').map(({ state }) => state.id));
    const service = this.#now() ?? this.#service;
    return [...service.tasks, ...service.past].filter(({ containerId }) => this.#only === null || containerId === this.#only).flatMap((task): Source[] => {
      const container = present.container(task.containerId)?.state;
      if (container === undefined) return [];
      const { id, hostId, status } = container;
      return [{ containerId: id, name: taskName(service, task), hostId, begun: status !== 'assigned' && (status !== 'created' || container.lastExit !== null), lost: lost.has(hostId) }];
    });
  }

  over(): boolean {
    const service = this.#now();
    if (service === null) return true;
    return this.#only !== null && (service.past.some(({ containerId }) => containerId === this.#only) || !service.tasks.some(({ containerId }) => containerId === this.#only) || this.list().length > 0);
  }

  async changed(signal: AbortSignal): Promise<void> {
    const service = this.#now();
    const ids = new Set<string>(service?.tasks.map(({ containerId }) => containerId));
    const subject = serviceSubject(this.#service.name);
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = this.#projection.onCommitted(({ subjects }) => {
      if (subjects === null || subjects.some((one) => one === subject || ids.has(one.slice(one.lastIndexOf('.') + 1)))) resolve();
    });
    const timer = setTimeout(resolve, relistMs.most);
    const onAbort = (): void => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
      const waitMs = this.#changedAtMs + relistMs.least - performance.now();
      if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => undefined);
      this.#changedAtMs = performance.now();
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      forget();
    }
  }
}
