// `docker cp`: what a path in a container is, its files as a tar, and a tar into it. Carries bytes between the client and the container's host; keeps nothing,
// and reads neither path nor tar.
import type {} from '@fastify/swagger';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { DockerArchiveQuery, DockerIdParams, DockerPutArchiveQuery, type CopyParams, type PathStat } from '@pouch/contracts';
import { isMachine, type HostId } from '@pouch/domain';
import { PipeBroken, type CallOptions } from '@pouch/pipes';
import { requirePermittedEntry } from '../access/policy.ts';
import type { Deps } from '../deps.ts';
import { badField } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { feed } from '../http/feed.ts';
import { clientGone } from '../http/gone.ts';
import { requireContainer } from '../http/reads.ts';
import { sendPipe } from '../http/send-pipe.ts';
import { encodePathStat, pathStatHeader } from './path-stat.ts';

type Reading = { Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerArchiveQuery> };
type Writing = { Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerPutArchiveQuery> };
const tags = ['Container'];
const maxStatBytes = 64 * 1024;
/** Of one that does not run its guest is booted first: a host waits 90 s for that. */
const machineTimeoutMs = 120_000;

/** Bodies here are tars of any size: they are handed on as they come. */
export async function archiveRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const { hosts, logger } = deps;

  app.head<Reading>('/containers/:id/archive', { schema: { summary: 'What a path in a container is', tags, params: DockerIdParams, querystring: DockerArchiveQuery } }, async (request, reply) => {
    const { hostId, params, patience } = asked(deps, request, request.params.id, request.query.path);
    const stat = await hosts.call(hostId, 'container.path-stat', params, patience);
    return await reply.header(pathStatHeader, encodePathStat(stat)).send();
  });

  app.get<Reading>('/containers/:id/archive', { schema: { summary: 'Files of a container as a tar', tags, params: DockerIdParams, querystring: DockerArchiveQuery, produces: ['application/x-tar'] } }, async (request, reply) => {
    const { hostId, params, patience } = asked(deps, request, request.params.id, request.query.path);
    const pipe = await hosts.open(hostId, 'container.read-files', { ...params, actor: actorOf(request) }, { ...patience, signal: clientGone(reply) });
    reply.header(pathStatHeader, encodePathStat(await statOf(pipe)));
    await sendPipe(reply, pipe, 'application/x-tar', (error) => logger.warn({ containerId: params.containerId, err: error }, 'files of a container broke off'));
  });

  app.put<Writing>('/containers/:id/archive', { schema: { summary: 'Extract a tar in a directory of a container', tags, params: DockerIdParams, querystring: DockerPutArchiveQuery } }, (request, reply) => extract(deps, request, reply));
}

async function extract(deps: Deps, request: FastifyRequest<Writing>, reply: FastifyReply): Promise<FastifyReply> {
  const { path, noOverwriteDirNonDir = false, copyUIDGID = false } = request.query;
  const { hostId, params, patience } = asked(deps, request, request.params.id, path);
  const body = request.body as Readable | null | undefined;
  if (body === null || body === undefined || request.headers['content-length'] === '0') throw badField('the body', 'it must be a tar archive');
  const signal = clientGone(reply);
  const pipe = await deps.hosts.open(hostId, 'container.write-files', { ...params, noOverwriteDirNonDir, ownedByUser: copyUIDGID, actor: actorOf(request) }, { ...patience, signal });
  pipe.on('error', () => { /* the trailer tells */ });
  pipe.resume();
  void feed(body, [pipe], signal);
  await pipe.trailer;
  return await reply.status(200).send();
}

/** Whose files, and where; refuses who may not get into this container. */
function asked({ projection }: Pick<Deps, 'projection'>, request: FastifyRequest, reference: string, path: string): { readonly hostId: HostId; readonly params: CopyParams; readonly patience: Pick<CallOptions, 'timeoutMs'> } {
  const { state } = requireContainer(projection, reference);
  requirePermittedEntry(projection, request, state, { privileged: false });
  return { hostId: state.hostId, params: { containerId: state.id, calledAs: reference, path }, patience: isMachine(state.spec) ? { timeoutMs: machineTimeoutMs } : {} };
}

/** The line that a host begins with; what follows it stays in the pipe. */
async function statOf(pipe: Readable): Promise<PathStat> {
  let head = Buffer.alloc(0);
  for await (const chunk of pipe.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\n');
    if (end >= 0) {
      pipe.unshift(head.subarray(end + 1));
      return JSON.parse(head.toString('utf8', 0, end)) as PathStat;
    }
    if (head.length > maxStatBytes) break;
  }
  throw new PipeBroken('the host has not said what it sends');
}
