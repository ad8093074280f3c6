// What Docker's clients ask of the engine itself: ping, version, info, disk usage. The cluster answers as if it was one engine.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { DockerObject, familiarReference, type DockerVolume } from '@pouch/contracts';
import type { Host, Image } from '@pouch/domain';
import { finishDockerItem } from '@pouch/projections';
import type { Deps } from '../deps.ts';
import { goneUsers } from '../commands/volumes.ts';
import { statusText } from '../containers/status.ts';
import { sizesOf } from '../containers/sizes.ts';
import { apiVersion, minApiVersion } from '../http/version.ts';
import { shownVolume } from '../volumes/shown.ts';
import { volumeSizes } from '../volumes/sizes.ts';
import { engineVersion } from './version.ts';

const tags = ['System'];

export async function systemRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  for (const method of ['GET', 'HEAD'] as const) {
    app.route({
      method, url: '/_ping', schema: { summary: 'Is anybody there', tags, produces: ['text/plain'] },
      handler: async (_request, reply) => {
        reply.headers({ 'builder-version': '1', 'cache-control': 'no-cache, no-store, must-revalidate', pragma: 'no-cache', 'content-type': 'text/plain; charset=utf-8' });
        return await reply.send(method === 'GET' ? 'OK' : '');
      },
    });
  }
  app.get('/version', { schema: { summary: 'Versions', tags, response: { 200: DockerObject } } }, async () => version(deps));
  app.get('/info', { schema: { summary: 'The cluster as one engine', tags, response: { 200: DockerObject } } }, async () => info(deps));
  app.get('/system/df', { schema: { summary: 'Disk usage', tags, response: { 200: DockerObject } } }, async () => await diskUsage(deps));
}

function upHosts({ projection }: Pick<Deps, 'projection'>): Host[] {
  return projection.present.hosts().map(({ state }) => state).filter((host) => host.state === 'up');
}

function version(deps: Deps): Record<string, unknown> {
  const hosts = upHosts(deps);
  const facts = hosts[0]?.facts;
  return {
    Platform: { Name: 'Pouch' },
    Version: engineVersion, ApiVersion: apiVersion, MinAPIVersion: minApiVersion, GitCommit: '', GoVersion: '', Os: facts?.platform.os ?? 'linux', Arch: facts?.platform.architecture ?? process.arch.replace('x64', 'amd64'),
    KernelVersion: facts?.platform.kernelVersion ?? '', BuildTime: '', Experimental: false,
    Components: [
      { Name: 'Engine', Version: engineVersion, Details: { ApiVersion: apiVersion, MinAPIVersion: minApiVersion, Arch: facts?.platform.architecture ?? '', Os: 'linux', KernelVersion: facts?.platform.kernelVersion ?? '', Experimental: 'false', GitCommit: '', GoVersion: '', BuildTime: '' } },
      ...hosts.flatMap(({ id, facts: { versions } }) => [
        { Name: 'containerd', Version: versions.containerd, Details: { Host: id } },
        { Name: 'runc', Version: versions.runc, Details: { Host: id } },
      ]),
    ],
  };
}

function info(deps: Deps): Record<string, unknown> {
  const { projection, config, clock } = deps;
  const hosts = upHosts(deps);
  const counts = projection.present.counts();
  const { running, paused, created, exited, restarting, assigned } = counts.containers;
  const facts = hosts.map((host) => host.facts);
  const first = facts[0];
  const sum = (of: (one: Host['facts']) => number): number => facts.reduce((total, one) => total + of(one), 0);
  const health = projection.health();
  return {
    ID: 'pouch', Name: hosts.length === 1 ? first?.hostname : 'pouch', ServerVersion: engineVersion,
    Containers: running + paused + created + exited + restarting + assigned, ContainersRunning: running + restarting, ContainersPaused: paused, ContainersStopped: created + exited + assigned, Images: counts.images,
    Driver: 'overlay2', DriverStatus: [['Hosts', String(hosts.length)], ...hosts.map((host) => [host.id, `${host.facts.address}, ${host.facts.platform.osName}, ${host.facts.platform.kernelVersion}`])],
    SystemStatus: null, Plugins: { Volume: ['local'], Network: ['bridge', 'host', 'none'], Authorization: null, Log: ['json-file', 'local', 'none'] },
    MemoryLimit: true, SwapLimit: true, CpuCfsPeriod: true, CpuCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true, IPv4Forwarding: true, BridgeNfIptables: true, BridgeNfIp6tables: true,
    OomKillDisable: false, Debug: false, NFd: 0, NGoroutines: 0, NEventsListener: 0, SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: 'json-file', CgroupDriver: 'cgroupfs', CgroupVersion: String(first?.platform.cgroupVersion ?? 2),
    KernelVersion: first?.platform.kernelVersion ?? '', OperatingSystem: first?.platform.osName ?? '', OSVersion: '', OSType: 'linux', Architecture: architectureName(first?.platform.architecture ?? ''),
    IndexServerAddress: 'https://index.docker.io/v1/', RegistryConfig: { AllowNondistributableArtifactsCIDRs: null, AllowNondistributableArtifactsHostnames: null, InsecureRegistryCIDRs: [], IndexConfigs: {}, Mirrors: null },
    NCPU: Math.round(sum((one) => one.capacity.cpuNanos) / 1e9), MemTotal: sum((one) => one.capacity.memoryBytes), GenericResources: null, DockerRootDir: '/var/lib/pouch', HttpProxy: '', HttpsProxy: '', NoProxy: '',
    Labels: first === undefined || hosts.length > 1 ? [] : Object.entries(first.labels).map(([name, value]) => `${name}=${value}`), ExperimentalBuild: false, LiveRestoreEnabled: true, Isolation: '', InitBinary: 'pouch-init',
    Runtimes: Object.fromEntries(facts.flatMap((one) => one.runtimes.map((runtime) => [runtime.name, { path: runtime.path }]))), DefaultRuntime: config.defaultRuntime,
    Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
    ContainerdCommit: { ID: first?.versions.containerd ?? '', Expected: '' }, RuncCommit: { ID: first?.versions.runc ?? '', Expected: '' }, InitCommit: { ID: '', Expected: '' },
    SecurityOptions: ['name=seccomp,profile=builtin'], ProductLicense: '',
    Warnings: [
      ...hosts.flatMap((host) => host.facts.warnings.map((warning) => `${host.id}: ${warning}`)),
      ...(hosts.length === 0 ? ['no host is up: is an agent running?'] : []),
      ...(health.state === 'following' ? [] : [`answers are as of sequence ${health.seq} of the log: ${health.error ?? health.state}`]),
    ],
  };
}

function architectureName(architecture: string): string {
  return architecture === 'amd64' ? 'x86_64' : architecture === 'arm64' ? 'aarch64' : architecture;
}

async function diskUsage(deps: Deps): Promise<Record<string, unknown>> {
  const { projection, hosts, clock, logger } = deps;
  const rows = projection.present.containerItems();
  const up = upHosts(deps);
  const sizes = await sizesOf(deps, up.map((host) => ({ hostId: host.id })));
  const layers = await Promise.all(up.map(async (host) => {
    try {
      return (await hosts.call(host.id, 'host.usage', {}, { timeoutMs: 60_000 })).layersBytes;
    } catch (error) {
      logger.warn({ hostId: host.id, err: error }, 'a host does not tell its usage');
      return 0;
    }
  }));
  const nowMs = clock.now();
  return {
    LayersSize: layers.reduce((total, bytes) => total + bytes, 0),
    Images: imagesOf(projection.present.images().map(({ state }) => state), rows.map((row) => row.imageId)),
    Containers: rows.map((row) => JSON.parse(finishDockerItem(row.item, statusText(row, nowMs), { SizeRw: sizes.get(row.id)?.writableBytes ?? 0, SizeRootFs: sizes.get(row.id)?.rootBytes ?? 0 })) as object),
    Volumes: await usedVolumes(deps), BuildCache: [],
  };
}

async function usedVolumes(deps: Deps): Promise<DockerVolume[]> {
  const { projection } = deps;
  const volumes = projection.present.records('volume').map(({ state }) => state);
  const sizes = await volumeSizes(deps, volumes);
  return volumes.map((volume) => ({ ...shownVolume(volume, projection), UsageData: { Size: sizes.get(volume.dataId) ?? (volume.hostId === null ? 0 : -1), RefCount: volume.users.length - goneUsers(projection, volume).length } }));
}

/** One entry an image, however many names and hosts have it. */
function imagesOf(images: readonly Image[], used: readonly string[]): Record<string, unknown>[] {
  const byId = new Map<string, Image[]>();
  for (const image of images) if (image.state === 'present') byId.set(image.record.id, [...(byId.get(image.record.id) ?? []), image]);
  return [...byId].map(([id, named]) => {
    const { record } = named[0] as Image;
    return {
      Id: id, ParentId: '', RepoTags: [...new Set(named.filter(({ name }) => !name.startsWith('sha256:')).map(({ name }) => familiarReference(name)))], RepoDigests: [],
      Created: Math.floor(record.createdAtMs / 1_000), Size: record.sizeBytes, SharedSize: 0, VirtualSize: record.sizeBytes, Labels: record.config.labels, Containers: used.filter((one) => one === id).length,
    };
  });
}
