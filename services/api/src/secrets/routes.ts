// The routes of secrets, Docker's own (`docker secret create|ls|inspect|rm`): sealed before they are kept, and never answered again.
import { randomUUID } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerSecret, DockerSecretBody, DockerSecretMade, DockerSecretsQuery, SecretsSealedAgain, secretSubject } from '@pouch/contracts';
import { decideSecret, isSecretName, secretId, type ContainerSpec, type Secret, type SecretCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import { messageOf } from '@pouch/process';
import type { Stored } from '@pouch/projections';
import { sealOverheadBytes, type Keyring } from '@pouch/sealing';
import { admittedAs } from '../access/gate.ts';
import type { Deps } from '../deps.ts';
import { badField, HttpError, refused } from '../errors.ts';
import { labelsMatch, parseFilters } from '../http/filters.ts';
import { clientGone } from '../http/gone.ts';

type SecretDeps = Pick<Deps, 'log' | 'projection' | 'clock' | 'secrets' | 'logger'>;
interface Asking { readonly actor: string; readonly signal: AbortSignal }

const tags = ['Secret'];
const showMs = 30_000;
/** A virtual machine is handed them in memory, which is bounded so. */
export const maxSecretBytes = 256 * 1024;
const maxSecrets = 10_000;

export async function secretRoutes(app: FastifyInstance, deps: SecretDeps): Promise<void> {
  const { projection } = deps;
  app.get<{ Querystring: Static<typeof DockerSecretsQuery> }>('/secrets', { schema: { summary: 'List secrets', tags, querystring: DockerSecretsQuery } }, async (request) => {
    const filters = parseFilters(request.query.filters, ['id', 'name', 'names', 'label']);
    const has = (name: 'id' | 'name' | 'names', value: string): boolean => filters.get(name) === undefined || [...(filters.get(name) ?? [])].some((wanted) => value.startsWith(wanted));
    return projection.present.records('secret').filter(({ state }) => has('id', state.id) && has('name', state.name) && has('names', state.name) && labelsMatch(state.labels, filters.get('label') ?? [])).map(shown);
  });

  app.get<{ Params: Static<typeof DockerIdParams> }>('/secrets/:id', { schema: { summary: 'Inspect a secret; its bytes are not shown', tags, params: DockerIdParams, response: { 200: DockerSecret } } }, async (request) => shown(requireSecret(deps, request.params.id)));

  app.post<{ Body: DockerSecretBody }>('/secrets/create', { schema: { summary: 'Create a secret', tags, body: DockerSecretBody, response: { 201: DockerSecretMade } } }, async (request, reply) => {
    const { Name: name, Data: data, Labels: labels, Driver: driver, Templating: templating } = request.body;
    if (!isSecretName(name)) throw badField('Name', `${JSON.stringify(name.slice(0, 80))} is not a secret's name: letters, digits, dots, - and _ are possible, a letter or digit first, at most 63`);
    if (driver !== undefined || templating !== undefined) throw badField(driver !== undefined ? 'Driver' : 'Templating', 'this setting does not take effect yet');
    const plain = Buffer.from(data ?? '', 'base64');
    // The message must not hold what was sent: it is shown and logged.
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data ?? '') || plain.length === 0 || plain.length > maxSecretBytes) throw badField('Data', `it must be 1 to ${maxSecretBytes} bytes in base64`);
    if (projection.present.records('secret').length >= maxSecrets) throw new HttpError(409, `there are ${maxSecrets} secrets already; remove some first`);
    const generation = randomUUID();
    const asking = { actor: admittedAs(request).actor, signal: clientGone(reply) };
    const keys = requireKeys(deps);
    const sealed = await keep(deps, keys, plain, { name, generation });
    plain.fill(0);
    await append(deps, name, { type: 'CreateSecret', name, labels: labels ?? {}, generation, sealed }, asking).catch(async (error: unknown) => {
      if ((error as { outcome?: unknown }).outcome !== 'unknown') await dropSealed(deps, sealed.digest);
      throw error;
    });
    return await reply.status(201).send({ ID: secretId(name) });
  });

  app.delete<{ Params: Static<typeof DockerIdParams> }>('/secrets/:id', { schema: { summary: 'Remove a secret that no container has', tags, params: DockerIdParams } }, async (request, reply) => {
    const { state } = requireSecret(deps, request.params.id);
    const uses = (spec: ContainerSpec): boolean => spec.secrets?.some(({ name }) => name === state.name) === true;
    const usedBy = [
      ...projection.present.containers().filter((container) => uses(container.state.spec)).map((container) => container.state.name),
      ...projection.present.records('service').filter((service) => service.state.spec.templates.some(uses)).map((service) => `service ${service.state.name}`),
    ];
    await append(deps, state.name, { type: 'RemoveSecret', usedBy }, { actor: admittedAs(request).actor, signal: clientGone(reply) });
    await dropSealed(deps, state.sealed.digest);
    return await reply.status(204).send();
  });

  app.post('/cluster/secrets/reseal', { schema: { summary: 'Seal every secret with the first of the cluster keys', tags, response: { 200: SecretsSealedAgain } } }, async (request, reply): Promise<SecretsSealedAgain> => {
    const keys = requireKeys(deps);
    const asking = { actor: admittedAs(request).actor, signal: clientGone(reply) };
    let sealedAgain = 0;
    for (const { state } of projection.present.records('secret')) {
      if (state.sealed.keyId === keys.sealingKeyId) continue;
      await sealAgain(deps, keys, state, asking);
      sealedAgain += 1;
    }
    return { sealedAgain, keyId: keys.sealingKeyId };
  });
}

async function sealAgain(deps: SecretDeps, keys: Keyring, { name, generation, sealed }: Secret, asking: Asking): Promise<void> {
  const plain = keys.open(await bytesOf(deps, sealed.digest), { name, generation });
  const again = await keep(deps, keys, plain, { name, generation });
  plain.fill(0);
  await append(deps, name, { type: 'SealSecretAgain', generation, sealed: again }, asking);
  await dropSealed(deps, sealed.digest);
}

function requireKeys({ secrets }: SecretDeps): Keyring {
  if (secrets.keys === null) throw new HttpError(503, 'this cluster has no key for secrets: POUCH_SECRETS_KEY names its file');
  return secrets.keys.keyring();
}

async function keep({ secrets }: SecretDeps, keys: Keyring, plain: Buffer, context: { readonly name: string; readonly generation: string }): Promise<Secret['sealed']> {
  const { digest } = await secrets.store.put((async function* () { yield keys.seal(plain, context); })(), { maxBytes: maxSecretBytes + sealOverheadBytes });
  return { digest, keyId: keys.sealingKeyId };
}

async function bytesOf({ secrets }: SecretDeps, digest: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of secrets.store.get(digest)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What stays by a failure here is sealed all the same. */
async function dropSealed({ secrets, logger }: SecretDeps, digest: string): Promise<void> {
  await secrets.store.remove(digest).catch((error: unknown) => { logger.warn({ digest, error: messageOf(error) }, 'sealed bytes of no secret stay in the store'); });
}

async function append({ log, projection, clock }: SecretDeps, name: string, command: SecretCommand, { actor, signal }: Asking): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'secret', subject: secretSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideSecret(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
}

/** By name or id. */
function requireSecret({ projection }: SecretDeps, reference: string): Stored<Secret> {
  const found = isSecretName(reference.replaceAll('~', '.')) ? projection.present.record('secret', secretId(reference)) : null;
  if (found === null) throw new HttpError(404, `secret ${reference} not found`);
  return found;
}

function shown({ seq, state }: Stored<Secret>): DockerSecret {
  return { ID: state.id, Version: { Index: seq }, CreatedAt: new Date(state.createdAtMs).toISOString(), UpdatedAt: new Date(state.sinceMs).toISOString(), Spec: { Name: state.name, Labels: state.labels } };
}
