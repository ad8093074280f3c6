// What each kind of process may say and hear on NATS: the least that it needs. Pure lists of subjects; whoever signs credentials puts them in.
// A host may speak for itself only. Where JetStream names the subject in the body of a request, an agent may not make that request.
import { beatSubject, claimsBucket, everyBeat, everyJoinAnswer, everyJoinRequest, everyVolume, inboxPrefix, joinRequestSubject, kernelsBucket, leasesBucket, pipePrefix, schedulerStatusSubject, secretsBucket, streamName, type NatsRole } from '@pouch/contracts';

export interface NatsPermissions {
  /** Subjects that it may publish to; besides, one answer to each request that it gets. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export function permissionsOf(role: NatsRole): NatsPermissions {
  switch (role.kind) {
    case 'api':
      return {
        // A backup is sent piece by piece, and each is acknowledged.
        publish: ['evt.>', '$JS.API.>', '$JS.SNAPSHOT.ACK.>', `$KV.${claimsBucket}.>`, '$O.>', 'host.*.call.>', 'host.*.pipe.>', '_PIPE.agent.>', schedulerStatusSubject, everyJoinAnswer],
        subscribe: [`${inboxPrefix(role)}.>`, `${pipePrefix(role)}.>`, everyJoinRequest],
      };
    case 'scheduler':
      return {
        publish: ['evt.>', '$JS.API.>', `$KV.${claimsBucket}.>`, `$KV.${leasesBucket}.>`],
        subscribe: [`${inboxPrefix(role)}.>`, everyBeat, schedulerStatusSubject],
      };
    case 'agent':
      return ofAgent(role);
    case 'restorer': {
      const streams = [streamName, `KV_${claimsBucket}`, `KV_${leasesBucket}`, `OBJ_${kernelsBucket}`, `OBJ_${secretsBucket}`];
      return { publish: [...streams.flatMap((name) => ['INFO', 'RESTORE', 'UPDATE', 'DELETE'].map((request) => `$JS.API.STREAM.${request}.${name}`)), '$JS.SNAPSHOT.RESTORE.>'], subscribe: [`${inboxPrefix(role)}.>`] };
    }
    case 'joiner':
      return { publish: [joinRequestSubject(role.token)], subscribe: [`${inboxPrefix(role)}.>`] };
  }
}

/**
 * Reading by `STREAM.MSG.GET` or through a list of consumers would show every host's messages, for what is wanted stands in the body; `DIRECT.GET` and
 * `CONSUMER.CREATE` have the subject in theirs (ADR-31, and the API of 2.9). A consumer's name is a random UUID, known to its maker only.
 */
function ofAgent(role: NatsRole & { readonly kind: 'agent' }): NatsPermissions {
  const { hostId } = role;
  const aggregates = [`evt.container.${hostId}.>`, `evt.exec.${hostId}.>`, `evt.image.${hostId}.>`, `evt.host.${hostId}`];
  const readable = [...aggregates, 'evt.kernel.*', 'evt.secret.*', everyVolume];
  const api = (request: string): string => `$JS.API.${request}`;
  return {
    publish: [
      ...aggregates, 'evt.kernel.*', beatSubject(hostId),
      // A machine that goes down has its own containers stopped, with no other credentials than these.
      `host.${hostId}.call.host.shutdown`,
      api(`STREAM.INFO.${streamName}`),
      ...readable.map((subject) => api(`DIRECT.GET.${streamName}.${subject}`)),
      ...readable.map((subject) => api(`CONSUMER.CREATE.${streamName}.*.${subject}`)),
      api(`CONSUMER.MSG.NEXT.${streamName}.*`), api(`CONSUMER.DELETE.${streamName}.*`),
      // Kernels are for every host, and secrets are sealed; the bytes of both are checked against their digest.
      ...[kernelsBucket, secretsBucket].flatMap((bucket) => [api(`STREAM.INFO.OBJ_${bucket}`), api(`STREAM.MSG.GET.OBJ_${bucket}`)]),
      // Images that it lacks it has from hosts that have them.
      'host.*.pipe.content.read',
      // Ends of pipes have random names, which only the other end is told.
      '_PIPE.api.>', '_PIPE.agent.>',
    ],
    subscribe: [`${inboxPrefix(role)}.>`, `${pipePrefix(role)}.>`, `host.${hostId}.call.>`, `host.${hostId}.pipe.>`],
  };
}
