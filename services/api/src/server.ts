// The HTTP server: one application for the unix socket and TCP, the plugins of all rooms, and how anything thrown becomes an answer.
// What the routes do is theirs.
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { parse as parseQueryString } from 'node:querystring';
import swagger from '@fastify/swagger';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { noteArrivals, type Arrival } from './access/arrivals.ts';
import { addGate } from './access/gate.ts';
import { policyRoutes } from './access/policy.ts';
import { RefusalLog } from './access/refusal-log.ts';
import { tokenRoutes } from './access/tokens.ts';
import { joinTokenRoutes } from './membership/routes.ts';
import { backupRoutes } from './cluster/backup-route.ts';
import { hostRoutes } from './cluster/host-routes.ts';
import { unknownRoutes } from './cluster/unknown-routes.ts';
import { clusterRoutes } from './cluster/routes.ts';
import { archiveRoutes } from './containers/archive.ts';
import { containerRoutes } from './containers/routes.ts';
import { streamRoutes } from './containers/streams.ts';
import type { Deps } from './deps.ts';
import { toHttpError, type HttpError } from './errors.ts';
import { eventRoutes } from './events/routes.ts';
import { execRoutes } from './exec/routes.ts';
import { bodyLimitBytes, parseBody } from './http/body.ts';
import { ClientGone } from './http/gone.ts';
import { Hijacked, serveUpgrades } from './http/hijack.ts';
import { validatorCompiler } from './http/validation.ts';
import { apiVersion, versionProblem, withoutVersion } from './http/version.ts';
import { imageRoutes } from './images/routes.ts';
import { networkRoutes } from './networks/routes.ts';
import { openApiInfo, openApiRoutes } from './openapi.ts';
import { notThereRoutes } from './system/not-there.ts';
import { kernelRoutes } from './kernels/routes.ts';
import type { TlsSettings } from './tls-material.ts';
import { secretRoutes } from './secrets/routes.ts';
import { clusterServiceRoutes } from './services/cluster-routes.ts';
import { dockerServiceRoutes } from './services/docker-routes.ts';
import { serviceLogRoutes } from './services/logs/routes.ts';
import { nodeRoutes } from './services/nodes.ts';
import { systemRoutes } from './system/routes.ts';
import { volumeRoutes } from './volumes/routes.ts';
import { engineVersion } from './system/version.ts';

export interface ApiServer {
  readonly app: FastifyInstance;
  /** What every listening server does with a request. */
  readonly handler: RequestListener;
  readonly hijacked: Hijacked;
  /** To be closed after the routes, while the log is still there. */
  readonly refusals: RefusalLog;
  /** `METHOD path` of every route. */
  readonly routes: readonly string[];
}

const maxHeaderBytes = 64 * 1024;
const maxQueryMembers = 1_000;
const dropRestMs = 5_000;
const keepAliveMs = 120_000;

/** Builds the server; nothing listens yet. */
export async function buildServer(deps: Deps): Promise<ApiServer> {
  const { logger } = deps;
  const headers = { 'api-version': apiVersion, 'docker-experimental': 'false', ostype: 'linux', server: `Pouch/${engineVersion} (linux)` };
  const hijacked = new Hijacked();
  let handler: RequestListener = () => undefined;
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    exposeHeadRoutes: false,
    requestTimeout: 0,
    rewriteUrl: (request) => withoutVersion(request.url ?? '/'),
    // A path that cannot be decoded: no route and no hook runs.
    frameworkErrors: (error, _request, reply) => {
      const { status, message } = toHttpError(error);
      reply.hijack();
      reply.raw.writeHead(status, { ...headers, 'content-type': 'application/json' }).end(JSON.stringify({ message }));
    },
    serverFactory: (listener) => {
      handler = listener as unknown as RequestListener;
      return createServer(handler, hijacked, 'unix');
    },
    // Node's own reader: bytes that are no UTF-8 come out as U+FFFD and are refused by name, where others leave the escapes as they are.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 512, querystringParser: (text) => parseQueryString(text, '&', '=', { maxKeys: maxQueryMembers }) as Record<string, string | string[]> },
  });
  app.setValidatorCompiler(validatorCompiler as never);
  // Answers are made by hand: a serializer that goes by the schema would drop what the schema does not list.
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    if (error.statusCode === 413) await dropRest(request.raw);
    return answerError(error, request, reply);
  });
  app.setNotFoundHandler((request, reply) => {
    const problem = versionProblem(request.originalUrl);
    return reply.status(problem === null ? 404 : 400).send({ message: problem ?? 'page not found' });
  });
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers);
    done();
  });
  const refusals = new RefusalLog(deps);
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => { routes.push(...[method].flat().map((one) => `${one} ${url}`)); });
  addGate(app, { access: deps.config.access, projection: deps.projection, clock: deps.clock, refusals });
  bodies(app);

  // Docker's client compares the media type whole: with a charset behind it, it shows an error as raw JSON.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (reply.getHeader('content-type') === 'application/json; charset=utf-8') reply.header('content-type', 'application/json');
    done(null, payload);
  });

  function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (error instanceof ClientGone || reply.raw.destroyed) return reply.status(499 as never).send();
    const answer = toHttpError(error);
    if (answer.status >= 500 && answer.status !== 501) logger.error({ method: request.method, url: request.originalUrl, status: answer.status, err: answer.cause ?? error }, 'request failed');
    else logger.debug({ method: request.method, url: request.originalUrl, status: answer.status, message: answer.message }, 'request refused');
    reply.status(answer.status).headers(answer.headers);
    return answer.status === 304 ? reply.send() : reply.type('application/json').send(JSON.stringify({ message: answer.message }));
  }

  await app.register(swagger, openApiInfo);
  await app.register((scope) => systemRoutes(scope, deps));
  await app.register((scope) => containerRoutes(scope, deps));
  await app.register((scope) => streamRoutes(scope, deps, hijacked));
  await app.register((scope) => archiveRoutes(scope, deps));
  await app.register((scope) => execRoutes(scope, deps, hijacked));
  await app.register((scope) => imageRoutes(scope, deps));
  await app.register((scope) => eventRoutes(scope, deps));
  await app.register((scope) => clusterRoutes(scope, deps));
  await app.register((scope) => backupRoutes(scope, deps));
  await app.register((scope) => hostRoutes(scope, deps));
  await app.register((scope) => unknownRoutes(scope, deps));
  await app.register((scope) => kernelRoutes(scope, deps));
  await app.register((scope) => tokenRoutes(scope, deps));
  await app.register((scope) => joinTokenRoutes(scope, deps));
  await app.register((scope) => policyRoutes(scope, deps));
  await app.register((scope) => secretRoutes(scope, deps));
  await app.register((scope) => volumeRoutes(scope, deps));
  await app.register((scope) => networkRoutes(scope, deps));
  await app.register((scope) => clusterServiceRoutes(scope, deps));
  await app.register((scope) => dockerServiceRoutes(scope, deps));
  await app.register((scope) => serviceLogRoutes(scope, deps));
  await app.register((scope) => nodeRoutes(scope, deps));
  await app.register((scope) => notThereRoutes(scope));
  await app.register((scope) => openApiRoutes(scope));
  await app.ready();

  return { app, handler, hijacked, refusals, routes };
}

/** Reads what is left of a body that is too large, for a while: a connection that is closed over unread bytes is reset, and the answer with it. */
async function dropRest(body: IncomingMessage): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, dropRestMs);
  body.once('end', over.resolve).once('close', over.resolve).resume();
  await over.promise;
  clearTimeout(timer);
}

/** An HTTP server with our bounds, whose upgraded requests go the same way as all others. */
export function createServer(handler: RequestListener, hijacked: Hijacked, door: Exclude<Arrival['door'], 'tls'> | TlsSettings): Server {
  // Clients keep idle connections: one that is closed under a request that cannot be repeated is an error to them.
  const options = { maxHeaderSize: maxHeaderBytes, requestTimeout: 0, keepAliveTimeout: keepAliveMs };
  const server = typeof door === 'string'
    ? createHttpServer(options, handler)
    : createHttpsServer({ ...options, ca: door.ca, cert: door.cert, key: door.key, requestCert: true, rejectUnauthorized: door.clients === 'certificate', minVersion: 'TLSv1.2' }, handler);
  noteArrivals(server, typeof door === 'string' ? door : 'tls');
  serveUpgrades(server, handler, hijacked);
  return server;
}

/** JSON whatever the Content-Type says; routes that take other bytes bring a parser of their own. */
function bodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request: FastifyRequest, body: Buffer, done: (error: Error | null, body?: unknown) => void) => {
    try {
      done(null, parseBody(body));
    } catch (error) {
      done(error as HttpError);
    }
  });
  // Fastify parses a body only where the client says what it is; Docker's clients do not always.
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request.raw as IncomingMessage;
    if (headers['content-type'] === undefined && (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined)) headers['content-type'] = 'application/json';
    done();
  });
  // An empty body is no body: null fits no schema of an object, `{}` fits every one of ours.
  app.addHook('preValidation', (request, _reply, done) => {
    if ((request.body === null || request.body === undefined) && request.routeOptions.schema?.body !== undefined) request.body = {};
    done();
  });
}
