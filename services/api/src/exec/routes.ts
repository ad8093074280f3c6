// Execs: further processes in a running container. Created in the log, started over a pipe to the host, inspected from the projection.
import { randomBytes, randomUUID } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerExecBody, DockerExecStartBody, DockerId, DockerIdParams, DockerObject, DockerResizeQuery, execSubject } from '@pouch/contracts';
import { decideExec, execId, type Container, type Exec, type ExecSpec } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Stored } from '@pouch/projections';
import type { Deps } from '../deps.ts';
import { badField, HttpError, refused, requireSpecSize } from '../errors.ts';
import { requirePermittedEntry } from '../access/policy.ts';
import { actorOf } from '../http/actor.ts';
import { bridge } from '../http/bridge.ts';
import { clientGone } from '../http/gone.ts';
import { takeOver, type Hijacked } from '../http/hijack.ts';
import { requireContainer } from '../http/reads.ts';
import { streamType } from '../containers/streams.ts';
import { mergedEnv } from '../containers/settings/container.ts';

type Id = Static<typeof DockerIdParams>;
const tags = ['Exec'];
/** The client is told of the end when the projection shows it, so that its inspect finds the exit code; no longer than this. */
const showEndMs = 5_000;

export async function execRoutes(app: FastifyInstance, deps: Deps, hijacked: Hijacked): Promise<void> {
  createRoute(app, deps);
  startRoute(app, deps, hijacked);
  const { projection, hosts } = deps;

  app.post<{ Params: Id; Querystring: Static<typeof DockerResizeQuery> }>('/exec/:id/resize', { schema: { summary: "Resize an exec's terminal", tags, params: DockerIdParams, querystring: DockerResizeQuery } }, async (request, reply) => {
    const { state: exec } = requireExec(deps, request.params.id);
    await hosts.call(exec.hostId, 'exec.resize', { containerId: exec.containerId, execId: exec.id, rows: request.query.h, columns: request.query.w });
    return await reply.status(200).send();
  });

  app.get<{ Params: Id }>('/exec/:id/json', { schema: { summary: 'Inspect an exec', tags, params: DockerIdParams, response: { 200: DockerObject } } }, async (request) => {
    const { state: exec } = requireExec({ projection }, request.params.id);
    const [entrypoint = '', ...args] = exec.spec.args;
    return {
      ID: exec.id, Running: exec.status === 'running', ExitCode: exec.status === 'exited' ? exec.exitCode : null,
      ProcessConfig: { tty: exec.spec.tty, entrypoint, arguments: args, privileged: exec.spec.privileged, user: exec.spec.user },
      OpenStdin: exec.spec.attach.stdin, OpenStdout: exec.spec.attach.stdout, OpenStderr: exec.spec.attach.stderr,
      CanRemove: false, ContainerID: exec.containerId, DetachKeys: exec.spec.detachKeys, Pid: exec.status === 'created' ? 0 : exec.pid,
    };
  });
}

function requireExec({ projection }: Pick<Deps, 'projection'>, id: string): Stored<Exec> {
  const exec = projection.present.exec(id);
  if (exec === null) throw new HttpError(404, `No such exec instance: ${id}`);
  return exec;
}

function requireRunning(container: Container): void {
  if (container.status === 'paused') throw new HttpError(409, `Container ${container.id} is paused, unpause the container before exec`);
  if (container.status === 'restarting') throw new HttpError(409, `Container ${container.id} is restarting, wait until the container is running`);
  if (container.status !== 'running') throw new HttpError(409, `container ${container.id} is not running`);
}

function createRoute(app: FastifyInstance, { projection, log, clock }: Deps): void {
  app.post<{ Params: Id; Body: DockerExecBody }>('/containers/:id/exec', { schema: { summary: 'Create an exec', tags, params: DockerIdParams, body: DockerExecBody, response: { 201: DockerId } } }, async (request, reply) => {
    const { state: container } = requireContainer(projection, request.params.id);
    const spec = execSpec(request.body);
    requireSpecSize('the body', spec);
    requirePermittedEntry(projection, request, container, spec);
    requireRunning(container);
    const id = execId(randomBytes(32).toString('hex'));
    const nowMs = clock.now();
    const { hostId } = container;
    const outcome = await execute({
      log, kind: 'exec', subject: execSubject(hostId, id), commandId: randomUUID(),
      meta: { atMs: nowMs, service: 'api', actor: actorOf(request), cause: null },
      cached: { seq: 0, snapshot: null },
      decide: (state) => decideExec(state, { type: 'CreateExec', id, hostId, containerId: container.id, spec }, nowMs),
    });
    if (!outcome.ok) throw refused(outcome.refusal);
    await projection.waitForSeq(outcome.seq, { timeoutMs: showEndMs, signal: clientGone(reply) });
    return await reply.status(201).send({ Id: id });
  });
}

function execSpec(body: DockerExecBody): ExecSpec {
  const args = typeof body.Cmd === 'string' ? [body.Cmd] : (body.Cmd ?? []);
  if (args.length === 0) throw badField('Cmd', 'No exec command specified');
  const { User = '', WorkingDir = '' } = body;
  if (/\s/.test(User) || User.split(':').length > 2) throw badField('User', `${JSON.stringify(User.slice(0, 80))} is not user[:group]`);
  if (WorkingDir !== '' && !WorkingDir.startsWith('/')) throw badField('WorkingDir', 'it must be an absolute path');
  return {
    args, env: mergedEnv([], body.Env ?? [], 'Env'), workingDir: WorkingDir, user: User, tty: body.Tty ?? false, privileged: body.Privileged ?? false,
    attach: { stdin: body.AttachStdin ?? false, stdout: body.AttachStdout ?? false, stderr: body.AttachStderr ?? false }, detachKeys: body.DetachKeys ?? '',
  };
}

function startRoute(app: FastifyInstance, deps: Deps, hijacked: Hijacked): void {
  const { projection, hosts, logger } = deps;
  app.post<{ Params: Id; Body: DockerExecStartBody | null }>('/exec/:id/start', {
    schema: { summary: 'Start an exec (the connection is taken over)', tags, params: DockerIdParams, body: DockerExecStartBody },
  }, async (request, reply) => {
    const { state: exec, seq } = requireExec(deps, request.params.id);
    if (exec.status === 'running') throw new HttpError(409, `exec ${exec.id} is already running`);
    if (exec.status === 'exited') throw new HttpError(409, `exec ${exec.id} has already run`);
    requireRunning(requireContainer(projection, exec.containerId).state);
    const { Detach: detach = false, ConsoleSize: size } = request.body ?? {};
    const consoleSize = size !== undefined && size.length === 2 && exec.spec.tty ? { rows: size[0] ?? 0, columns: size[1] ?? 0 } : null;
    const created = { seq, atMs: exec.createdAtMs };
    const pipe = await hosts.open(exec.hostId, 'exec.start', { containerId: exec.containerId, execId: exec.id, spec: exec.spec, detach, consoleSize, actor: actorOf(request), created }, {});
    const shown = pipe.trailer.then(async ({ seq }) => await projection.waitForSeq(seq, { timeoutMs: showEndMs }));
    shown.catch(() => { /* whoever is still there to be told awaits it below */ });
    if (detach) {
      pipe.on('error', () => pipe.destroy());
      pipe.end();
      pipe.resume();
      await shown;
      return await reply.status(200).send();
    }
    const client = takeOver(request, reply, streamType(request, exec.spec.tty), hijacked);
    await bridge(client, pipe, { input: exec.spec.attach.stdin, beforeEnd: () => shown.catch((error: unknown) => { logger.warn({ execId: exec.id, err: error }, 'the end of an exec is not known'); }) });
  });
}
