// The routes of guest kernels: the catalogue's entries are aggregates of the log, their bytes are in the object store, hosts boot them to see what works.
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { ClusterKernel, ClusterKernels, KernelAdded, KernelAddQuery, kernelSubject, KernelParams, KernelProbeQuery } from '@pouch/contracts';
import { decideKernel, isKernelName, kernelId, machineRuntime, type KernelCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import { messageOf } from '@pouch/process';
import type { Deps } from '../deps.ts';
import { badField, failed, HttpError, refused } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { clientGone } from '../http/gone.ts';
import { KernelArchive } from './archive.ts';
import { listKernels, usersOf } from './catalogue.ts';

const tags = ['Cluster'];
const maxArchiveBytes = 2 ** 30;
const showMs = 30_000;
/** A host fetches the kernel and boots it under each profile, each with a limit of its own; in software that takes its time. */
const probeMs = 900_000;
/** Archives at once: each is a stream of some hundred megabytes. */
const maxUploads = 4;
/** What an upload that never became a kernel leaves is taken away after this. */
const strayMs = 3_600_000;

type Params = Static<typeof KernelParams>;

export async function kernelRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  const { projection } = deps;
  app.get('/cluster/kernels', { schema: { summary: 'Guest kernels', tags, response: { 200: ClusterKernels } } }, async (): Promise<ClusterKernels> => ({ kernels: listKernels(projection) }));
  app.get<{ Params: Params }>('/cluster/kernels/:name', { schema: { summary: 'A guest kernel', tags, params: KernelParams, response: { 200: ClusterKernel } } }, async ({ params }) => requireKernel(deps, params.name));

  app.post<{ Params: Params; Querystring: Static<typeof KernelProbeQuery> }>('/cluster/kernels/:name/probe', {
    schema: { summary: 'Boot a guest kernel on a host, and tell what works', tags, params: KernelParams, querystring: KernelProbeQuery, response: { 200: ClusterKernel } },
  }, async (request, reply) => {
    requireKernel(deps, request.params.name);
    await probe(deps, request.params.name, request.query.host ?? null, { actor: actorOf(request), signal: clientGone(reply) });
    return requireKernel(deps, request.params.name);
  });

  app.delete<{ Params: Params }>('/cluster/kernels/:name', { schema: { summary: 'Remove a guest kernel that no container uses', tags, params: KernelParams } }, async (request, reply) => {
    await removeKernel(deps, request.params.name, actorOf(request), clientGone(reply));
    return await reply.status(204).send();
  });
  await app.register((scope) => addRoute(scope, deps));
}

async function addRoute(app: FastifyInstance, deps: Deps): Promise<void> {
  // The body is a stream of any size: it is handed on as it comes.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  let uploads = 0;
  app.post<{ Querystring: Static<typeof KernelAddQuery> }>('/cluster/kernels', {
    schema: { summary: 'Add a guest kernel: a tar with `image` and, where it has any, `modules/`', tags, querystring: KernelAddQuery, response: { 201: KernelAdded }, consumes: ['application/x-tar'] },
  }, async (request, reply) => {
    const { name } = request.query;
    try {
      if (!isKernelName(name)) throw badField('name', `${JSON.stringify(name)} is not a kernel's name: a-z, 0-9, dots, - and _ are possible, a letter or digit first`);
      if (request.body === undefined || request.body === null) throw badField('the body', 'it must be a tar with the file `image`');
      const present = listKernels(deps.projection).find((kernel) => kernel.name === name);
      if (present?.source === 'host') throw new HttpError(409, `there is a kernel ${name} already, in the own store of ${present.hosts.map(({ hostId }) => hostId).join(', ')}`);
      if (uploads >= maxUploads) throw new HttpError(503, `${maxUploads} kernels are being added already`, { headers: { 'retry-after': '5' } });
    } catch (error) {
      (request.body as Readable | null)?.resume(); // a connection closed over unread bytes loses the answer
      throw error;
    }
    const asking = { actor: actorOf(request), signal: clientGone(reply) };
    uploads += 1;
    try {
      await addKernel(deps, name, request, asking);
    } finally {
      uploads -= 1;
    }
    const warnings: string[] = [];
    if (request.query.probe !== false) await probe(deps, name, null, asking).catch((error: unknown) => warnings.push(`it has not been booted yet: ${messageOf(error)}`));
    return await reply.status(201).send({ kernel: requireKernel(deps, name), warnings } satisfies KernelAdded);
  });
}

interface Asking {
  readonly actor: string;
  readonly signal: AbortSignal;
}

async function addKernel(deps: Deps, name: string, request: FastifyRequest, asking: Asking): Promise<void> {
  const { kernels, projection, logger, clock } = deps;
  const body = request.body as Readable;
  const archive = new KernelArchive();
  const stored = await kernels.put(archive.pass(body.iterator({ destroyOnReturn: false })), { maxBytes: maxArchiveBytes }).catch((error: unknown) => {
    body.resume();
    throw (error as { code?: unknown }).code === 'too-large' ? new HttpError(413, `the body is too large: ${messageOf(error)}`, { cause: error }) : error;
  });
  try {
    const record = { ...archive.image(), archive: { digest: stored.digest, sizeBytes: stored.sizeBytes } };
    await append(deps, name, { type: 'AddKernel', id: kernelId(name), name, record }, asking);
  } catch (error) {
    // What was there before may be another kernel's; the rest is swept up in its time where this fails too.
    const unknown = (error as { outcome?: unknown }).outcome === 'unknown';
    if (!stored.existed && !unknown) await kernels.remove(stored.digest).catch((cause: unknown) => logger.debug({ err: cause }, 'an archive that became no kernel stays for now'));
    throw error;
  }
  void kernels.sweep(new Set(projection.present.kernels().map(({ state }) => state.record.archive.digest)), clock.now() - strayMs).catch((error: unknown) => logger.warn({ err: error }, 'stray kernels could not be swept up'));
}

async function removeKernel(deps: Deps, name: string, actor: string, signal: AbortSignal): Promise<void> {
  const kernel = requireKernel(deps, name);
  if (kernel.source === 'host') throw new HttpError(409, `kernel ${name} is in the own store of ${kernel.hosts.map(({ hostId }) => hostId).join(', ')}, not in the catalogue`);
  const stored = deps.projection.present.kernels().find(({ state }) => state.name === name);
  await append(deps, name, { type: 'RemoveKernel', usedBy: usersOf(deps.projection, name) }, { actor, signal });
  await forget(deps, name, kernel.hosts.filter(({ present }) => present).map(({ hostId }) => hostId), signal);
  const digest = stored?.state.record.archive.digest;
  // Two names may stand on the same bytes.
  if (digest === undefined || deps.projection.present.kernels().some(({ state }) => state.record.archive.digest === digest)) return;
  await deps.kernels.remove(digest).catch((error: unknown) => deps.logger.warn({ err: error, digest }, 'the bytes of a removed kernel stay until the next sweep'));
}

/** Hosts that have it take it away. One that cannot be asked does so when it comes back. */
async function forget({ hosts, projection, logger }: Deps, name: string, hostIds: readonly string[], signal: AbortSignal): Promise<void> {
  const seqs = await Promise.all(hostIds.map(async (hostId) => await hosts.call(hostId, 'kernel.forget', { name }).then(({ seq }) => seq ?? 0, (error: unknown) => {
    logger.warn({ hostId, kernel: name, err: error }, 'a host keeps a removed kernel for now');
    return 0;
  })));
  await projection.waitForSeq(Math.max(0, ...seqs), { timeoutMs: showMs, signal });
}

/** Resolves when the projection shows it. */
async function append({ log, projection, clock }: Deps, name: string, command: KernelCommand, { actor, signal }: Asking): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'kernel', subject: kernelSubject(kernelId(name)), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideKernel(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
}

async function probe({ projection, hosts }: Deps, name: string, wanted: string | null, { actor, signal }: Asking): Promise<void> {
  const able = projection.present.hosts().map(({ state }) => state).filter((host) => host.state === 'up' && host.facts.machines !== undefined);
  const host = wanted === null ? able[0] : able.find(({ id }) => id === wanted);
  if (host === undefined) throw wanted === null ? failed('no-suitable-host', `no host that is up has the runtime ${machineRuntime}`) : badField('host', `${JSON.stringify(wanted)} is not up, or does not have the runtime ${machineRuntime}`);
  const { seq } = await hosts.call(host.id, 'kernel.probe', { name, actor }, { timeoutMs: probeMs });
  await projection.waitForSeq(seq, { timeoutMs: showMs, signal });
}

function requireKernel({ projection }: Pick<Deps, 'projection'>, name: string): ClusterKernel {
  const kernels = listKernels(projection);
  const found = kernels.find((kernel) => kernel.name === name);
  if (found !== undefined) return found;
  throw new HttpError(404, `there is no guest kernel ${JSON.stringify(name)}; ${kernels.length === 0 ? 'none has been added yet' : `there are ${kernels.map((kernel) => kernel.name).join(', ')}`}`);
}
