// The agent's process: configuration, connections, an orderly end. Containers go on when it ends, however it ends.
import { connectNats } from '@pouch/eventlog';
import { ConfigError, createLogger, installCrashHandler, onShutdown } from '@pouch/process';
import { startAgent } from './agent.ts';
import { readConfig, type AgentConfig } from './config.ts';

function configuration(): AgentConfig {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(78); // EX_CONFIG
  }
}

const config = configuration();
const logger = createLogger({ service: 'agent', level: config.logLevel });
installCrashHandler(logger);
const link = connectNats({ servers: config.natsUrl, name: `agent ${config.hostId}`, logger });
const pipesLink = connectNats({ servers: config.natsUrl, name: `agent ${config.hostId} pipes`, logger });
const agent = await startAgent({ config, logger, link, pipesLink });
logger.info({ hostId: config.hostId }, 'agent is up');
onShutdown([
  ['agent', () => agent.stop()],
  ['connections', async () => { await Promise.all([link.close(), pipesLink.close()]); }],
], { logger });
