// The api's process: puts its parts together, listens, and lets go of everything in order.
import { join } from 'node:path';
import { inboxPrefix, kernelsBucket, secretsBucket, toMessage, type Message, type NameClaim } from '@pouch/contracts';
import { connectNats, NatsEventLog, NatsObjectStore, openClaims } from '@pouch/eventlog';
import { takeBackup } from '@pouch/eventlog/backup';
import { readAuthority } from '@pouch/membership';
import { configurationOr78, createLogger, installCrashHandler, onShutdown, systemClock } from '@pouch/process';
import { KeyFile } from '@pouch/sealing';
import { readConfig } from './config.ts';
import { LinkedHosts } from './hosts.ts';
import { listen } from './listen.ts';
import { serveAdmission } from './membership/admission.ts';
import { Revocations } from './membership/revocations.ts';
import { Projection } from './projection/projection.ts';
import { buildServer } from './server.ts';

const config = configurationOr78('api', readConfig);
const logger = createLogger({ service: 'api', level: config.logLevel });
installCrashHandler(logger);

/** A write while the log elects a leader is late instead of refused: NATS's servers wait 4 to 9 s before they elect one. */
const patienceMs = 10_000;

// Bulk bytes have a connection of their own, for they delay everything else on theirs.
const nats = { servers: config.natsUrl, credentialsFile: config.natsCredentials, caFile: config.natsCa, inboxPrefix: inboxPrefix({ kind: 'api' }), replicas: config.natsReplicas };
const link = connectNats({ ...nats, name: 'api', logger });
const pipesLink = connectNats({ ...nats, name: 'api pipes', logger });
const log = new NatsEventLog<Message>({ link, logger, check: toMessage, patienceMs });
const projection = Projection.open({ directory: join(config.dataDir, 'projection'), log: nats, retention: config.retention, logger });
const hosts = new LinkedHosts({ callsLink: link, pipesLink });
const authority = config.authority === null ? null : await readAuthority(config.authority);
if (config.authority !== null && authority === null) logger.error({ file: config.authority }, 'the file of the cluster\'s authority is not there: this api admits no hosts');
const revocations = authority === null || config.natsCa === null ? null : new Revocations({ authority, servers: { servers: config.natsUrl, caFile: config.natsCa }, projection, logger });
const applyRevocations = async (): Promise<void> => { await revocations?.apply(); };
const admission = authority === null ? null : serveAdmission({ authority, link, log, projection, clock: systemClock, logger, natsUrl: config.natsUrl, secretsKey: config.secretsKey, onRevoked: () => { void applyRevocations(); } });
const server = await buildServer({
  config, logger, clock: systemClock, log, projection, authority, applyRevocations, names: openClaims<NameClaim>({ link, logger, patienceMs }), hosts,
  kernels: new NatsObjectStore({ link: pipesLink, logger, bucket: kernelsBucket }),
  secrets: { store: new NatsObjectStore({ link: pipesLink, logger, bucket: secretsBucket }), keys: config.secretsKey === null ? null : new KeyFile(config.secretsKey) },
  takeBackup: () => takeBackup(pipesLink, config.dataDir, systemClock.now()),
  nc: { request: async (subject, payload, options) => await link.request(subject, payload ?? '', { timeoutMs: options?.timeout ?? 1_000 }) },
});
const listening = await listen(server, config, logger);
logger.info({ socket: config.socket, tcpPort: listening.tcpPort, natsUrl: config.natsUrl }, 'serving');

onShutdown([
  ['admission', () => { admission?.stop(); }],
  ['http', () => listening.close()],
  ['routes', () => server.app.close()],
  ['refusals', () => server.refusals.close()],
  ['revocations', () => { revocations?.close(); }],
  ['projection', () => projection.stop()],
  ['hosts', () => { hosts.close(); }],
  ['log', () => log.close()],
  ['nats', async () => { await Promise.all([link.close(), pipesLink.close()]); }],
], { logger });
