// Asks the agent to stop its host's containers in order. It must not stop any itself.
import { readFile } from 'node:fs/promises';
import { inboxPrefix } from '@pouch/contracts';
import { HostClient } from '@pouch/pipes';
import { connect, credsAuthenticator } from 'nats';
import { credentialsFile, natsUrl, type ClusterConfig } from './options.ts';

/** Longest that a container gets between its stop signal and SIGKILL, whatever it asked for. */
const longestStopSeconds = 120;
const killGraceMs = 30_000;

/** Answers why it could not be done, or undefined when no container runs any more. */
export async function shutdownContainers(config: ClusterConfig): Promise<string | undefined> {
  try {
    const file = credentialsFile(config, 'api');
    const shown = file === null ? {} : { authenticator: credsAuthenticator(await readFile(file)) };
    const connection = await connect({ servers: natsUrl(config).split(','), name: 'down', reconnect: false, timeout: 3_000, inboxPrefix: inboxPrefix({ kind: 'api' }), ...shown });
    try {
      const client = new HostClient(connection);
      await client.call(config.hostId ?? 'host', 'host.shutdown', { timeoutSeconds: longestStopSeconds }, { timeoutMs: 1_000 * longestStopSeconds + killGraceMs });
      client.close();
      return undefined;
    } finally {
      await connection.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
