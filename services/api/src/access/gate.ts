// The door of every request: who is it, which role does the route need, may it in. The only place that answers 401, and 403 for want of a role.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasRole, type Role } from '@pouch/domain';
import type { Clock } from '@pouch/process';
import { HttpError } from '../errors.ts';
import { arrivalOf } from './arrivals.ts';
import type { Projection } from '../projection/projection.ts';
import { principalOf, type AccessConfig, type Principal } from './principal.ts';
import type { RefusalLog } from './refusal-log.ts';
import { routeRoles } from './route-roles.ts';

export interface GateDeps {
  readonly access: AccessConfig;
  readonly projection: Projection;
  readonly clock: Clock;
  readonly refusals: RefusalLog;
}

/** Who is let in with which role. */
export interface Admitted {
  readonly actor: string;
  readonly role: Role;
}

const admitted = new WeakMap<FastifyRequest, Admitted>();

/** Throws on a request that did not come through the gate: a programmer's error. */
export function admittedAs(request: FastifyRequest): Admitted {
  const known = admitted.get(request);
  if (known === undefined) throw new TypeError('a request came past the gate');
  return known;
}

/** An answer 403 that a rule gives, told in the audit log by the gate. `rule` is for programs. */
export class ForbiddenError extends HttpError {
  readonly rule: string;
  constructor(rule: string, message: string) {
    super(403, message);
    this.rule = rule;
  }
}

/** Must be the first hook: nothing of a request is read before. */
export function addGate(app: FastifyInstance, { access, projection, clock, refusals }: GateDeps): void {
  const tokenByName = (name: string) => projection.present.record('token', name)?.state ?? null;
  app.addHook('onRequest', (request, reply, done) => {
    const principal = principalOf(request.raw, access, tokenByName, clock.now());
    const problem = explainRefusal(request, principal);
    if (problem !== null) {
      refusals.note(principal.actor, { status: problem.status as 401 | 403, route: routeOf(request), rule: problem.rule, reason: problem.message });
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="pouch"');
      done(problem);
      return;
    }
    admitted.set(request, { actor: principal.actor, role: principal.role as Role });
    done();
  });
  // What a handler forbids is told here as well: handlers only throw.
  app.addHook('onError', (request, _reply, error: Error, done) => {
    const known = admitted.get(request);
    if (error instanceof ForbiddenError && known !== undefined) refusals.note(known.actor, { status: 403, route: routeOf(request), rule: error.rule, reason: error.message });
    done();
  });
}

class GateError extends HttpError {
  readonly rule: string;
  constructor(status: 401 | 403, rule: string, message: string) {
    super(status, message);
    this.rule = rule;
  }
}

function explainRefusal(request: FastifyRequest, { actor, role, why }: Principal): GateError | null {
  const foreign = foreignPage(request);
  if (foreign !== null) return new GateError(403, 'origin', foreign);
  if (role === null) return actor.startsWith('tls:') && request.headers.authorization === undefined ? new GateError(403, 'role', why ?? 'no role') : new GateError(401, 'credentials', why ?? 'no credentials');
  const needed = neededRole(request);
  return hasRole(role, needed) ? null : new GateError(403, 'role', `${routeOf(request)} needs the role ${needed}; ${actor} has the role ${role}`);
}

/** A page that is not there is everybody's: it tells nothing. */
function neededRole(request: FastifyRequest): Role {
  return request.is404 ? 'read' : (routeRoles.get(routeOf(request)) ?? 'admin');
}

function routeOf(request: FastifyRequest): string {
  return `${request.method} ${request.is404 ? '(no route)' : (request.routeOptions.url ?? '(no route)')}`;
}

/** A browser sends its user's way into plain TCP along with any page's request: pages of elsewhere, and names that point here, stay out. */
function foreignPage({ headers, raw }: FastifyRequest): string | null {
  const { origin, host = '' } = headers;
  const fromBrowser = origin !== undefined || headers['sec-fetch-site'] !== undefined;
  if (!fromBrowser || headers.authorization !== undefined || arrivalOf(raw.socket)?.door === 'unix') return null;
  if (origin !== undefined && !URL.canParse(origin)) return 'the header Origin is of no page that may ask here';
  if (origin !== undefined && new URL(origin).host !== host) return `a page of ${origin.slice(0, 100)} may not ask here`;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
  return arrivalOf(raw.socket)?.door === 'tls' || name === 'localhost' || name === '[::1]' || name.startsWith('127.') ? null : `the header Host must be a loopback name or address, not ${JSON.stringify(host.slice(0, 100))}`;
}
