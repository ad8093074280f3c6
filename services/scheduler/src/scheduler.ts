// The scheduler put together: it follows the log all the time, and acts on what it sees while it holds the lease.
import { beatSubject, claimsBucket, everyBeat, everySubject, inboxPrefix, isDelivery, leasesBucket, schedulerLease, schedulerStatusSubject, streamName, toMessage, type Beat, type NameClaim, type Recorded, type SchedulerStatus } from '@pouch/contracts';
import type { HostId } from '@pouch/domain';
import { connectNats, openClaims, openEventLog, openLease, type Claims, type Lease, type LeaseOptions, type PouchLog, type Term } from '@pouch/eventlog';
import { systemClock, type Clock, type Logger } from '@pouch/process';
import type { SchedulerConfig } from './config.ts';
import { Janitor } from './janitor.ts';
import { Liveness } from './liveness.ts';
import { Patience } from './patience.ts';
import { Placer } from './placer.ts';
import { Replacer } from './replacer.ts';
import { ServiceController } from './services/service-controller.ts';
import { ServiceView } from './services/service-view.ts';
import { View } from './view.ts';
import { VolumeKeeper } from './volumes/volume-keeper.ts';

const tickMs = 1_000;
const sweepEveryTicks = 60;

export interface Scheduler {
  readonly leads: boolean;
  stop(): Promise<void>;
}

export interface SchedulerOptions {
  readonly config: SchedulerConfig;
  readonly logger: Logger;
  /** The log is not the one that was followed, or cannot be used: start anew. Called at most once. */
  readonly onFailed: (error: Error) => void;
}

/** What the deciding part of a scheduler stands on. Closed by whoever opened it. */
export interface CoreDeps {
  readonly config: Pick<SchedulerConfig, 'name' | 'retention' | 'strategy'>;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly log: PouchLog;
  readonly claims: Claims<NameClaim>;
  /** Begins to try for the leadership. */
  readonly lease: (told: Pick<LeaseOptions, 'onAcquired' | 'onLost'>) => Pick<Lease, 'stop'>;
  /** Whether heartbeats can be heard at all. */
  readonly connected: () => boolean;
  readonly onFailed: (error: Error) => void;
}

export interface Core {
  readonly leads: boolean;
  hear(beat: Beat): void;
  /** Null: another one leads. */
  status(): SchedulerStatus | null;
  stop(): Promise<void>;
}

/** The deciding part put together; it opens no connection. Begins at once. */
export function startCore({ config, logger, clock, log, claims, lease: openLeadership, connected, onFailed }: CoreDeps): Core {
  const view = new View();
  const services = new ServiceView(() => clock.monotonicMs());
  const patience = new Patience(clock);
  const { strategy } = config;
  const keeper = new VolumeKeeper({ volumes: view.volumes, log, clock, logger });
  const placer = new Placer({ view, volumes: keeper, strategy, patience, isWanted: (placement) => services.isWanted(placement), again: () => { if (term !== null && subscription.caughtUp) placer.work(term); }, log, clock, logger });
  const replacer = new Replacer({ view, hasReplicasOn: (hostId) => services.hasReplicasOn(hostId), claims, strategy, patience, log, clock, logger });
  const controller = new ServiceController({ services, claims, log, clock, logger });
  const work = (during: Term): void => {
    controller.work(during);
    placer.work(during);
    replacer.work(during);
    keeper.work(during);
  };
  const liveness = new Liveness({ hosts: () => view.hosts(), isKnown: (hostId) => view.hasHost(hostId), connected, log, clock, logger });
  const janitor = new Janitor({ view, pinned: () => services.pinnedSubjects(), claims, log, retention: config.retention, clock, logger });
  let term: (Term & { readonly sinceMs: number }) | null = null;
  let ticks = 0;

  const subscription = log.follow({
    filter: everySubject,
    from: 'last-per-subject',
    onMessages: (messages: readonly Recorded[]) => {
      for (const message of messages) {
        view.apply(message);
        services.apply(message);
      }
      if (term === null || !subscription.caughtUp) return;
      work(term);
      for (const message of messages) {
        janitor.release(message).catch((error: unknown) => logger.warn({ err: error, subject: message.subject }, 'name not released now; the sweep will'));
      }
    },
    onCaughtUp: () => term !== null && work(term),
    onFailed,
  });

  const lease = openLeadership({
    onAcquired: (acquired) => {
      term = { ...acquired, sinceMs: clock.now() };
      ticks = 0;
      if (subscription.caughtUp) work(term);
    },
    onLost: () => (term = null),
  });

  const tick = async (): Promise<void> => {
    // Whoever comes to lead looks at everything in its first round.
    if (term === null && subscription.caughtUp) {
      services.takeChanged();
      view.volumes.releases();
    }
    if (term === null || !subscription.caughtUp) return;
    patience.keepOnly((id) => view.isOpen(id));
    controller.workOpen(term);
    work(term);
    await liveness.check(term);
    if (ticks++ % sweepEveryTicks === 0 && term !== null && (await janitor.sweep(term))) ticks = 0;
  };
  const ticker = setInterval(() => void tick().catch((error: unknown) => logger.warn({ err: error }, 'a round of the scheduler failed; the next one is due')), tickMs);

  return {
    get leads() {
      return term !== null;
    },
    hear: (beat) => liveness.hear(beat),
    status: () => (term === null ? null : { leader: config.name, epoch: term.epoch, sinceMs: term.sinceMs, hosts: liveness.status().map((host) => ({ ...host, reserved: view.reserved(host.hostId as HostId) })), waiting: patience.told() }),
    async stop() {
      clearInterval(ticker);
      await lease.stop();
      await subscription.stop();
    },
  };
}

/** Starts at once and waits for NATS in the background. */
export function startScheduler({ config, logger, onFailed }: SchedulerOptions): Scheduler {
  const clock = systemClock;
  const link = connectNats({ servers: config.natsUrl, credentialsFile: config.natsCredentials, caFile: config.natsCa, inboxPrefix: inboxPrefix({ kind: 'scheduler' }), replicas: config.natsReplicas, name: 'scheduler', logger, clock });
  const log: PouchLog = openEventLog({ link, logger, streamName, check: toMessage });
  const core = startCore({
    config, logger, clock, log, onFailed,
    claims: openClaims<NameClaim>({ link, logger, bucket: claimsBucket }),
    lease: (told) => openLease({ link, logger, bucket: leasesBucket, name: schedulerLease, holder: config.name, ...told }),
    connected: () => link.connected,
  });
  void link.connection().then((connection) => {
    connection.subscribe(everyBeat, { callback: (error, message) => {
      const beat = error === null ? toBeat(message.data) : null;
      // A host may beat for itself only: its permissions cover the subject, not what stands in the message.
      if (beat !== null && message.subject === beatSubject(beat.hostId) && !isDelivery(message.reply)) core.hear(beat);
    } });
    connection.subscribe(schedulerStatusSubject, { callback: (error, message) => {
      const status = error === null ? core.status() : null;
      if (status !== null) message.respond(JSON.stringify(status));
    } });
  }, (error: unknown) => logger.debug({ err: error }, 'closed before NATS was reached'));

  return {
    get leads() {
      return core.leads;
    },
    async stop() {
      await core.stop();
      await log.close();
      await link.close();
    },
  };
}

function toBeat(data: Uint8Array): Beat | null {
  try {
    const beat = JSON.parse(Buffer.from(data).toString()) as Partial<Beat> | null;
    return typeof beat?.hostId === 'string' && typeof beat.atMs === 'number' ? (beat as Beat) : null;
  } catch {
    return null; // noise on the subject is not worth more than silence
  }
}
