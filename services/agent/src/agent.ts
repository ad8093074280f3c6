// One agent: its connections, files and programs, opened and put under its core, and let go of in order. What happens in the rooms is theirs.
import { chmod, mkdir } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { connect } from '@pouch/containerd';
import { kernelsBucket, secretsBucket, toMessage, type Message } from '@pouch/contracts';
import { machineRuntime, maxUnknownTold, type Host } from '@pouch/domain';
import { NatsEventLog, NatsObjectStore, type NatsLink } from '@pouch/eventlog';
import { SysHelper } from '@pouch/native';
import type { Logger } from '@pouch/process';
import { KeyFile } from '@pouch/sealing';
import { announce } from './announce.ts';
import { startBeat } from './beat.ts';
import type { AgentConfig } from './config.ts';
import { Layout } from './containers/layout.ts';
import { Rootfs } from './containers/rootfs.ts';
import { SpecMaker } from './containers/spec-maker.ts';
import { assembleCore, type Core } from './core.ts';
import { openProbeStreams } from './health/probe-streams.ts';
import { bootedAtMs, hostFacts } from './host-facts.ts';
import { createImages } from './images/index.ts';
import { Machines } from './machines/machines.ts';
import { createNetwork } from './network/index.ts';
import type { Rooms } from './rooms.ts';
import { Secrets } from './secrets/secrets.ts';
import { serve } from './serve.ts';
import { Store } from './store/store.ts';
import { Volumes } from './volumes/volumes.ts';

const containerdReadyMs = 60_000;

/** A running agent. `stop` lets its containers go on. */
export interface Agent {
  readonly rooms: Rooms;
  /** Everything that was asked so far has been carried out. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

export interface AgentDeps {
  readonly config: AgentConfig;
  readonly logger: Logger;
  /** Of the log and of heartbeats. Not closed by the agent. */
  readonly link: NatsLink;
  /** Of calls and pipes: bulk bytes have a connection of their own. Not closed by the agent. */
  readonly pipesLink: NatsLink;
}

/** Starts an agent. Needs containerd; the log may be away and come later. */
export async function startAgent({ config, logger, link, pipesLink }: AgentDeps): Promise<Agent> {
  const now = (): number => Date.now();
  const layout = new Layout(config);
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 });
  await mkdir(config.runDir, { recursive: true, mode: 0o711 });
  await chmod(dirname(layout.database), 0o711);
  await layout.make();
  const containerd = connect({ socketPath: config.containerdSocket, namespace: config.containerdNamespace, snapshotter: config.snapshotter });
  await containerd.waitForReady(containerdReadyMs);
  const facts = await hostFacts(config, containerd);
  const store = new Store(layout.database);
  const sys = new SysHelper();
  const log = new NatsEventLog<Message>({ link, logger, check: toMessage });
  const volumes = new Volumes({ hostId: config.hostId, directory: layout.volumes, log, logger });

  const stopped = new AbortController();
  const announceNow = async (): Promise<number | null> => {
    // What probes machines may come back after the agent has ended.
    if (stopped.signal.aborted) return null;
    return await announce({ log, config, facts: { ...facts, volumesDir: layout.volumes, ...machineFacts(core.rooms.machines), ...unknownFacts(store), warnings: [...facts.warnings, ...(core.rooms.machines?.warnings() ?? [])] }, logger, now, signal: stopped.signal });
  };
  const core: Core = assembleCore({
    config, logger, now, bootedAtMs: bootedAtMs(), capacity: facts.capacity, store, containerd, log,
    outer: (used) => {
      const network = createNetwork({ config, sys, logger });
      const rootfs = new Rootfs(containerd);
      const runv = config.runtimes.find(({ name }) => name === machineRuntime);
      const machines = runv === undefined || !isAbsolute(runv.path) ? null : new Machines({
        config, path: runv.path, root: layout.machines, log, logger, now, objects: new NatsObjectStore({ link: pipesLink, logger, bucket: kernelsBucket }),
        onChange: () => announceNow().catch((error: unknown) => {
          logger.warn({ err: error }, 'what has changed of this host is told when the log is back');
          return null;
        }),
      });
      const images = createImages({ config, containerd, log, pipesLink, logger, now, used, gone: () => { void machines?.sweepLater(); } });
      const secrets = new Secrets({
        keys: config.secretsKey === null ? null : new KeyFile(config.secretsKey), log, objects: new NatsObjectStore({ link: pipesLink, logger, bucket: secretsBucket }),
        kept: (id) => layout.container(id), mountPoint: layout.secrets, logger,
      });
      return { sys, layout, rootfs, network, machines, secrets, volumes, images, probeStreams: (id) => openProbeStreams({ sys, layout, logger }, id), specs: new SpecMaker({ config, containerd, layout, rootfs, logger, network, secrets, volumes }) };
    },
  });
  const { rooms, execs, health } = core;
  const { images } = rooms;
  await rooms.machines?.open();
  await volumes.start();
  core.start(async () => {
    await announceNow();
    await images.announce();
    await rooms.machines?.forgetRemoved();
    void rooms.machines?.probeAcceleration().then(() => rooms.machines?.probeDefaultKernel());
  });
  const stopBeat = startBeat({ rooms, seq: () => core.seq, publish: (subject, payload) => { if (link.connected) void link.connection().then((nc) => nc.publish(subject, payload)).catch(() => { /* the next beat is as good */ }); } });
  const server = serve({ rooms, execs, health, link: pipesLink, logger, images, announce: announceNow });

  return {
    rooms,
    idle: () => core.idle(),
    async stop() {
      rooms.stopping.active = true;
      stopped.abort();
      stopBeat();
      await core.stop();
      await volumes.stop();
      await server.stop();
      images.close();
      await core.close();
      await log.close();
      await sys.close();
      containerd.close();
      store.close();
    },
  };
}

/** What is here and the log does not know. */
function unknownFacts(store: Store): Pick<Host['facts'], 'unknown'> {
  const unknown = store.unknown().slice(0, maxUnknownTold).map(({ containerId, snapshot }) => ({ id: containerId, name: snapshot?.name ?? null, image: snapshot?.spec.image.name ?? null }));
  return unknown.length === 0 ? {} : { unknown };
}

/** What the host says of its machines; nothing where their runtime does not say anything itself. */
function machineFacts(machines: Machines | null): Pick<Host['facts'], 'machines'> {
  const told = machines?.facts() ?? null;
  return told === null ? {} : { machines: told };
}
