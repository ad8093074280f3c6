// `pouch service logs`: what the replicas of a service have written, and with -f what they and those to come go on to write; each line behind the name of its
// replica. The ids that tell whose line it is are Docker's details.
import { once } from 'node:events';
import { styleText } from 'node:util';
import type { ClusterService } from '@pouch/contracts';
import type { Context } from '../context.ts';
import { isSystemError, segment, type EngineClient } from '../engine/client.ts';
import { Demultiplexer } from '../engine/frames.ts';
import { ApiError, CliError, UnreachableError } from '../errors.ts';
import { LineJoiner, Prefixes, readDetails } from '../format/log-prefix.ts';
import { logsQuery, type LogsFlags } from './logs.ts';

export async function serviceLogs(context: Context, reference: string, flags: Omit<LogsFlags, 'console'>): Promise<number> {
  const query = { ...logsQuery(flags, Date.now()), details: 1 };
  const client = await context.client();
  const { service, path } = await find(client, reference);
  const response = await client.stream('GET', `${path}/logs`, { query });
  const prefixes = new Prefixes((text, colour) => styleText(colour, text, { stream: process.stdout }));
  for (const task of service.tasks) prefixes.add(task, task.state === 'running');
  const lines: { readonly stream: NodeJS.WriteStream; readonly line: Buffer }[] = [];
  const joiners = { stdout: new LineJoiner((line) => lines.push({ stream: process.stdout, line })), stderr: new LineJoiner((line) => lines.push({ stream: process.stderr, line })) };
  const frames = response.headers['content-type']?.includes('raw-stream') === true ? null : new Demultiplexer((stream, chunk) => joiners[stream].push(chunk));
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (frames === null) joiners.stdout.push(chunk);
      else frames.push(chunk);
      for (const { stream, line } of lines.splice(0)) {
        const { taskId, hostId, before, after } = readDetails(line, flags.timestamps === true);
        if (!prefixes.knows(taskId)) for (const task of await tasksOf(client, service.id)) prefixes.add(task, task.state === 'running');
        if (!stream.write(Buffer.concat([Buffer.from(`${prefixes.of(taskId, hostId)} | ${before}`), after]))) await once(stream, 'drain');
      }
    }
  } catch (error) {
    throw isSystemError(error) ? new UnreachableError('the connection to the API broke', { hint: 'pouch service logs --since continues', cause: error }) : error;
  }
  return 0;
}

async function find(client: EngineClient, reference: string): Promise<{ readonly service: ClusterService; readonly path: string }> {
  try {
    const service = await client.json<ClusterService>('GET', `/cluster/services/${segment(reference)}`);
    return { service, path: `/services/${segment(service.id)}` };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
  }
  try {
    const { ServiceID: service } = await client.json<{ ServiceID: string }>('GET', `/tasks/${segment(reference)}`);
    return { service: await client.json<ClusterService>('GET', `/cluster/services/${segment(service)}`), path: `/tasks/${segment(reference)}` };
  } catch (error) {
    throw error instanceof ApiError && error.status === 404 ? new CliError(`there is no service and no task ${reference}`, { hint: 'pouch service ls and pouch service ps list them' }) : error;
  }
}

/** None where it has been removed meanwhile: its last lines are still shown. */
async function tasksOf(client: EngineClient, service: string): Promise<ClusterService['tasks']> {
  try {
    return (await client.json<ClusterService>('GET', `/cluster/services/${segment(service)}`)).tasks;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return [];
    throw error;
  }
}
