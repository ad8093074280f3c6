// The agent's process: configuration, connections, an orderly end. Containers go on when it ends, however it ends.
import { inboxPrefix } from '@pouch/contracts';
import { connectNats } from '@pouch/eventlog';
import { configurationOr78, createLogger, installCrashHandler, onShutdown } from '@pouch/process';
import { startAgent } from './agent.ts';
import { readConfig } from './config.ts';

const config = configurationOr78('agent', readConfig);
const logger = createLogger({ service: 'agent', level: config.logLevel });
installCrashHandler(logger);
const nats = { servers: config.natsUrl, credentialsFile: config.natsCredentials, caFile: config.natsCa, inboxPrefix: inboxPrefix({ kind: 'agent', hostId: config.hostId }), replicas: 'keep' as const };
const link = connectNats({ ...nats, name: `agent ${config.hostId}`, logger });
const pipesLink = connectNats({ ...nats, name: `agent ${config.hostId} pipes`, logger });
const agent = await startAgent({ config, logger, link, pipesLink });
logger.info({ hostId: config.hostId }, 'agent is up');
onShutdown([
  ['agent', () => agent.stop()],
  ['connections', async () => { await Promise.all([link.close(), pipesLink.close()]); }],
], { logger });
