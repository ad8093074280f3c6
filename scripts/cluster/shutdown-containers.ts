// Asks the agent to stop its host's containers in order. It must not stop any itself.
import { readFile } from 'node:fs/promises';
import { inboxPrefix } from '@pouch/contracts';
import { hostId } from '@pouch/domain';
import { memberFiles } from '@pouch/membership';
import { HostClient } from '@pouch/pipes';
import { connect, credsAuthenticator } from 'nats';
import { memberDirectory, natsUrl, type ClusterConfig } from './options.ts';

/** Longest that a container gets between its stop signal and SIGKILL, whatever it asked for. */
const longestStopSeconds = 120;
const killGraceMs = 30_000;

/** Answers why it could not be done, or undefined when no container runs any more. */
export async function shutdownContainers(config: ClusterConfig): Promise<string | undefined> {
  try {
    // The host's own: every machine with containers has it, and a host may ask this of itself.
    const role = { kind: 'agent', hostId: hostId(config.hostId ?? 'host') } as const;
    const { ca, creds } = memberFiles(memberDirectory(config));
    const connection = await connect({
      servers: natsUrl(config).split(','), name: 'down', reconnect: false, timeout: 3_000, inboxPrefix: inboxPrefix(role),
      authenticator: credsAuthenticator(await readFile(creds('agent'))), tls: { caFile: ca },
    });
    try {
      const client = new HostClient(connection);
      await client.call(role.hostId, 'host.shutdown', { timeoutSeconds: longestStopSeconds }, { timeoutMs: 1_000 * longestStopSeconds + killGraceMs });
      client.close();
      return undefined;
    } finally {
      await connection.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
