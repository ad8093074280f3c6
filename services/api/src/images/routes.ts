// The routes of images: what they take, whom they ask, which status they answer. Names come with slashes, escaped or not.
import type {} from '@fastify/swagger';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import {
  canonicalReference, DockerImageCreateQuery, DockerImageHistory, DockerImageItem, DockerImageListQuery, DockerImageLoadQuery, DockerImageParams, DockerImagePruneQuery,
  DockerImageRemoved, DockerImageRemoveQuery, DockerImagesPruned, DockerImageTagQuery, DockerObject, familiarReference, parseReference,
} from '@pouch/contracts';
import { Type } from 'typebox';
import type { Deps } from '../deps.ts';
import { badField, HttpError, notThereYet } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { clientGone } from '../http/gone.ts';
import { minorVersion } from '../http/version.ts';
import { pruneImages, removeImage, tagImage } from './change.ts';
import { imageHistory, inspectImage } from './inspect.ts';
import { listImages } from './list.ts';
import { streamLine } from './progress.ts';
import { readRegistryAuth } from './registry-auth.ts';
import { requireImage } from './resolve.ts';
import { transfer } from './transfer.ts';

const tags = ['Image'];
type Name = Static<typeof DockerImageParams>;
type Removal = Static<typeof DockerImageRemoveQuery>;
type Tagging = Static<typeof DockerImageTagQuery>;

export async function imageRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  readRoutes(app, deps);
  changeRoutes(app, deps);
  await app.register((scope) => transferRoutes(scope, deps));
}

const asking = (request: FastifyRequest, reply: FastifyReply) => ({ actor: actorOf(request), signal: clientGone(reply) });

function readRoutes(app: FastifyInstance, { projection, clock }: Deps): void {
  app.get<{ Querystring: Static<typeof DockerImageListQuery> }>('/images/json', { schema: { summary: 'List images', tags, querystring: DockerImageListQuery, response: { 200: Type.Array(DockerImageItem) } } }, async (request) =>
    listImages(projection, request.query.filters, { nowMs: clock.now(), emptyNames: minorVersion(request.originalUrl) < 43 ? '<none>' : 'empty' }));

  const reads = {
    json: (name: string): object => inspectImage(requireImage(projection, name)),
    history: (name: string): object => imageHistory(requireImage(projection, name)),
    get: (): never => { throw notThereYet('ImageGet (GET /images/{name}/get)'); },
  };
  app.get<{ Params: Name }>('/images/:name/json', { schema: { summary: 'Inspect an image', tags, params: DockerImageParams, response: { 200: DockerObject } } }, async ({ params }) => reads.json(params.name));
  app.get<{ Params: Name }>('/images/:name/history', { schema: { summary: 'The steps that an image was made by', tags, params: DockerImageParams, response: { 200: DockerImageHistory } } }, async ({ params }) => reads.history(params.name));
  app.get('/images/:name/get', { schema: { hide: true } }, () => reads.get());
  app.get<{ Params: { '*': string } }>('/images/*', { schema: { hide: true } }, async ({ params }) => {
    const { name, verb } = apart(params['*']);
    if (!Object.hasOwn(reads, verb)) throw new HttpError(404, 'page not found');
    return reads[verb as keyof typeof reads](name);
  });
}

function changeRoutes(app: FastifyInstance, deps: Deps): void {
  const tag = async (name: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { repo, tag: text } = request.query as Tagging;
    await tagImage(deps, name, { repo, tag: text }, asking(request, reply));
    return await reply.status(201).send();
  };
  app.post<{ Params: Name; Querystring: Tagging }>('/images/:name/tag', { schema: { summary: 'Give an image a further name', tags, params: DockerImageParams, querystring: DockerImageTagQuery } }, (request, reply) => tag(request.params.name, request, reply));
  app.post('/images/:name/push', { schema: { hide: true } }, () => { throw notThereYet('ImagePush (POST /images/{name}/push)'); });
  app.post<{ Params: { '*': string }; Querystring: Partial<Tagging> }>('/images/*', { schema: { hide: true, querystring: Type.Partial(DockerImageTagQuery) } }, async (request, reply) => {
    const { name, verb } = apart(request.params['*']);
    if (verb === 'push') throw notThereYet('ImagePush (POST /images/{name}/push)');
    if (verb !== 'tag') throw new HttpError(404, 'page not found');
    if (request.query.repo === undefined) throw badField('repo', 'this query parameter is required');
    return await tag(name, request, reply);
  });

  const remove = (name: string, request: FastifyRequest, reply: FastifyReply): Promise<DockerImageRemoved> => removeImage(deps, name, (request.query as Removal).force === true, asking(request, reply));
  app.delete<{ Params: Name; Querystring: Removal }>('/images/:name', { schema: { summary: 'Remove a name, and with the last one the image', tags, params: DockerImageParams, querystring: DockerImageRemoveQuery, response: { 200: DockerImageRemoved } } }, (request, reply) => remove(request.params.name, request, reply));
  app.delete<{ Params: { '*': string }; Querystring: Removal }>('/images/*', { schema: { hide: true, querystring: DockerImageRemoveQuery } }, (request, reply) => remove(request.params['*'], request, reply));

  app.post<{ Querystring: Static<typeof DockerImagePruneQuery> }>('/images/prune', { schema: { summary: 'Remove images that no container stands on', tags, querystring: DockerImagePruneQuery, response: { 200: DockerImagesPruned } } }, (request, reply) =>
    pruneImages(deps, request.query.filters, asking(request, reply)));
}

/** Bodies here are streams of any size: they are handed on as they come. */
async function transferRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

  app.post<{ Querystring: Static<typeof DockerImageCreateQuery> }>('/images/create', { schema: { summary: 'Pull an image', tags, querystring: DockerImageCreateQuery } }, async (request, reply) => {
    const { fromImage = '', fromSrc = '', tag = '', platform = '' } = request.query;
    if (fromSrc !== '') throw notThereYet('Import (POST /images/create with fromSrc)');
    const reference = pulledName(fromImage, tag);
    const auth = readRegistryAuth(request.headers['x-registry-auth']);
    if (platform !== '' && !/^[a-zA-Z0-9_.-]+(?:\/[a-zA-Z0-9_.-]+){0,2}$/.test(platform)) throw badField('platform', `${JSON.stringify(platform.slice(0, 80))} is not os/arch[/variant]`);
    const { actor, signal } = asking(request, reply);
    await transfer(deps, { name: 'image.pull', params: { reference, platform: platform === '' ? null : platform, auth, actor }, input: null, reply, signal, summary: () => [] });
    return reply;
  });

  app.post<{ Querystring: Static<typeof DockerImageLoadQuery> }>('/images/load', { schema: { summary: 'Load images from an archive', tags, querystring: DockerImageLoadQuery } }, async (request, reply) => {
    if (request.body === undefined || request.body === null) throw badField('the body', 'it must be an image archive');
    const { actor, signal } = asking(request, reply);
    await transfer(deps, {
      name: 'image.load', params: { quiet: request.query.quiet === true, actor }, input: request.body as Readable, reply, signal,
      summary: ({ loaded }) => loaded.map(({ name, imageId }) => streamLine(name === null ? `Loaded image ID: ${imageId}` : `Loaded image: ${familiarReference(name)}`)),
    });
    return reply;
  });
}

/** `fromImage` may hold tag or digest; `tag` may be a digest, too. */
function pulledName(fromImage: string, tag: string): string {
  if (fromImage === '') throw badField('fromImage', 'this query parameter is required');
  const parsed = parseReference(fromImage);
  if (parsed === null) throw badField('fromImage', `invalid reference format: ${JSON.stringify(fromImage.slice(0, 120))}`);
  if (tag === '') return canonicalReference(parsed);
  const repository = `${parsed.domain}/${parsed.path}`;
  const whole = parseReference(tag.includes(':') ? `${repository}@${tag}` : `${repository}:${tag}`);
  if (whole === null) throw badField('tag', `invalid tag format: ${JSON.stringify(tag.slice(0, 160))}`);
  return canonicalReference(whole);
}

/** `library/busybox:1/json` → name and what is asked of it. */
function apart(path: string): { name: string; verb: string } {
  const slash = path.lastIndexOf('/');
  return { name: path.slice(0, Math.max(slash, 0)), verb: path.slice(slash + 1) };
}
