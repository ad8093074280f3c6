// The cluster's policy: its routes, and the check that every creation of a container and every exec goes through.
import { randomUUID } from 'node:crypto';
import { posix } from 'node:path';
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ClusterPolicy, PolicyBody, policySubject } from '@pouch/contracts';
import { confinedMounts, decidePolicy, openRules, policyBreach, policyId, type Container, type ContainerSpec, type PolicyChange, type PolicyRules } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { badField, refused } from '../errors.ts';
import { clientGone } from '../http/gone.ts';
import type { Projection } from '../projection/projection.ts';
import { admittedAs, ForbiddenError } from './gate.ts';

type PolicyDeps = Pick<Deps, 'log' | 'projection' | 'clock'>;
const tags = ['Access'];
const showMs = 30_000;

export async function policyRoutes(app: FastifyInstance, { log, projection, clock }: PolicyDeps): Promise<void> {
  const shown = (): ClusterPolicy => ({ rules: rulesOf(projection), sinceMs: projection.present.record('policy', policyId)?.state.sinceMs ?? null });
  app.get('/cluster/policy', { schema: { summary: 'What containers may ask of their hosts, and who may ask it', tags, response: { 200: ClusterPolicy } } }, async () => shown());

  app.put<{ Body: PolicyBody }>('/cluster/policy', { schema: { summary: 'Change the policy; what is left out stays', tags, body: PolicyBody, response: { 200: ClusterPolicy } } }, async (request, reply) => {
    const { who, bindPrefixes, allowedCapabilities } = request.body;
    const change: PolicyChange = {
      ...(who === undefined ? {} : { who }), ...(allowedCapabilities === undefined ? {} : { allowedCapabilities }),
      ...(bindPrefixes === undefined ? {} : { bindPrefixes: bindPrefixes.map((prefix, index) => cleanPrefix(prefix, `bindPrefixes[${index}]`)) }),
    };
    const nowMs = clock.now();
    const outcome = await execute({
      log, kind: 'policy', subject: policySubject, commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor: admittedAs(request).actor, cause: null },
      decide: (state) => decidePolicy(state, { type: 'ChangePolicy', change }, nowMs),
    });
    if (!outcome.ok) throw refused(outcome.refusal);
    await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal: clientGone(reply) });
    return shown();
  });
}

function rulesOf(projection: Projection): PolicyRules {
  return projection.remembered('policy', policyId, (present) => present.record('policy', policyId)?.state.rules ?? openRules);
}

function cleanPrefix(prefix: string, field: string): string {
  if (prefix.includes('\0')) throw badField(field, 'a path has no zero byte');
  return posix.normalize(prefix).replace(/(?<=.)\/$/, '');
}

/** The spec as it may be made for whoever asks; 403 with the rule's name where one forbids it. */
export function permittedSpec(projection: Projection, request: FastifyRequest, spec: ContainerSpec): ContainerSpec {
  const rules = rulesOf(projection);
  const { role } = admittedAs(request);
  const joined = spec.network.mode === 'container' ? (projection.present.container(spec.network.containerId)?.state.spec ?? null) : null;
  const breach = policyBreach(rules, role, spec, joined);
  if (breach !== null) throw new ForbiddenError(breach.rule, breach.message);
  return { ...spec, mounts: confinedMounts(rules, role, spec.mounts) };
}

/** 403 where a rule keeps the caller from a process in this container: whoever may not make one may not get into one that somebody else has made. */
export function requirePermittedEntry(projection: Projection, request: FastifyRequest, { spec }: Pick<Container, 'spec'>, { privileged }: { readonly privileged: boolean }): void {
  permittedSpec(projection, request, { ...spec, privileged: spec.privileged || privileged });
}
