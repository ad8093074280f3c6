// GET /cluster/backup: the whole state of the cluster as one file. It is whole on this machine before its first byte goes out, so what fails is an answer.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { HttpError } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import type { Deps } from '../deps.ts';

export async function backupRoutes(app: FastifyInstance, { takeBackup, clock, logger }: Pick<Deps, 'takeBackup' | 'clock' | 'logger'>): Promise<void> {
  // Each takes as much disk as the log.
  let underWay = false;
  app.get('/cluster/backup', { schema: { summary: 'The log, the names, sealed secrets and kernels as one file', tags: ['Cluster'], produces: ['application/x-tar'] } }, async (request, reply) => {
    if (underWay) throw new HttpError(409, 'a backup is under way already');
    underWay = true;
    const actor = actorOf(request);
    try {
      const backup = await takeBackup();
      try {
        logger.info({ actor, bytes: backup.bytes, streams: backup.manifest.streams.map(({ name, lastSeq }) => `${name}@${lastSeq}`) }, 'backup taken');
        const name = `pouch-${new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, '')}.backup`;
        const contents = Readable.from(backup.contents());
        const ended = Promise.race([once(contents, 'close'), once(reply.raw, 'close')]);
        void reply.header('content-type', 'application/x-tar').header('content-length', backup.bytes).header('content-disposition', `attachment; filename="${name}"`).send(contents);
        await ended;
        contents.destroy();
      } finally {
        await backup.close();
      }
    } finally {
      underWay = false;
    }
    return reply;
  });
}
