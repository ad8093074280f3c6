// Asks the agent to stop its host's containers in order. It must not stop any itself.
import { readFile } from 'node:fs/promises';
import { inboxPrefix } from '@pouch/contracts';
import { hostId } from '@pouch/domain';
import { memberFiles } from '@pouch/membership';
import { HostClient, HostUnreachable } from '@pouch/pipes';
import { connect, credsAuthenticator, ErrorCode, NatsError } from 'nats';
import { memberDirectory, natsUrl, type ClusterConfig } from './options.ts';

/** Longest that a container gets between its stop signal and SIGKILL, whatever it asked for. */
const longestStopSeconds = 120;
const killGraceMs = 30_000;
/** The agent says so often that it goes on; what it is asked, or answers, can get lost, and is then asked again. */
const wordSeconds = 5;
const wordLateMs = 5_000;
/** Without a word for so long it is given up. */
const silenceMs = 30_000;

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
      await untilStopped(async () => await client.call(role.hostId, 'host.shutdown', { timeoutSeconds: longestStopSeconds, answerWithinSeconds: wordSeconds }, { timeoutMs: 1_000 * wordSeconds + wordLateMs }));
      client.close();
      return undefined;
    } finally {
      await connection.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Asks until it is no longer `going` on; rejects with what `ask` does, but for answers that are late. */
export async function untilStopped(ask: () => Promise<{ readonly going?: true }>): Promise<void> {
  const deadline = Date.now() + 1_000 * longestStopSeconds + killGraceMs;
  for (let heardAtMs = Date.now(); ;) {
    try {
      if ((await ask()).going !== true) return;
      heardAtMs = Date.now();
    } catch (error) {
      const late = error instanceof HostUnreachable && error.cause instanceof NatsError && error.cause.code === ErrorCode.Timeout;
      if (!late || Date.now() - heardAtMs > silenceMs) throw error;
    }
    if (Date.now() > deadline) throw new Error(`containers run on after ${Math.round((1_000 * longestStopSeconds + killGraceMs) / 1_000)} s`);
  }
}
