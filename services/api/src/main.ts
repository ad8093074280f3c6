// The api's process: puts its parts together, listens, and lets go of everything in order.
import { join } from 'node:path';
import { toMessage, type Message, type NameClaim } from '@pouch/contracts';
import { connectNats, NatsEventLog, openClaims } from '@pouch/eventlog';
import { createLogger, installCrashHandler, messageOf, onShutdown, systemClock } from '@pouch/process';
import { readConfig, type Config } from './config.ts';
import { LinkedHosts } from './hosts.ts';
import { listen } from './listen.ts';
import { Projection } from './projection/projection.ts';
import { buildServer } from './server.ts';

function configuration(): Config {
  try {
    return readConfig();
  } catch (error) {
    process.stderr.write(`pouch-api: ${messageOf(error)}\n`);
    return process.exit(78); // EX_CONFIG: starting again does not help
  }
}

const config = configuration();
const logger = createLogger({ service: 'api', level: config.logLevel });
installCrashHandler(logger);

// Bulk bytes have a connection of their own, for they delay everything else on theirs.
const link = connectNats({ servers: config.natsUrl, name: 'api', logger });
const pipesLink = connectNats({ servers: config.natsUrl, name: 'api pipes', logger });
const log = new NatsEventLog<Message>({ link, logger, check: toMessage });
const projection = Projection.open({ directory: join(config.dataDir, 'projection'), log: { servers: config.natsUrl }, retention: config.retention, logger });
const hosts = new LinkedHosts({ callsLink: link, pipesLink });
const server = await buildServer({
  config, logger, clock: systemClock, log, projection, names: openClaims<NameClaim>({ link, logger }), hosts,
  nc: { request: async (subject, payload, options) => await link.request(subject, payload ?? '', { timeoutMs: options?.timeout ?? 1_000 }) },
});
const listening = await listen(server, config);
logger.info({ socket: config.socket, tcpPort: listening.tcpPort, natsUrl: config.natsUrl }, 'serving');

onShutdown([
  ['http', () => listening.close()],
  ['routes', () => server.app.close()],
  ['projection', () => projection.stop()],
  ['hosts', () => { hosts.close(); }],
  ['log', () => log.close()],
  ['nats', async () => { await Promise.all([link.close(), pipesLink.close()]); }],
], { logger });
