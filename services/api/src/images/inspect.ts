// GET /images/{name}/json and /history: an image whole, in Docker's shape. Pure.
import type { DockerImageHistory } from '@pouch/contracts';
import type { Image, ImageDefaults } from '@pouch/domain';
import { dockerHealthcheck } from '../containers/settings/health.ts';
import { namesOf, type FoundImage } from './resolve.ts';

export function inspectImage({ id, names }: FoundImage): Record<string, unknown> {
  const { record, sinceMs } = names[0] as Image;
  const { tags, digests } = namesOf(names);
  const config = dockerConfig(record.config);
  return {
    Id: id, RepoTags: tags, RepoDigests: digests, Parent: '', Comment: record.comment, Created: new Date(record.createdAtMs).toISOString(), Container: '', ContainerConfig: dockerConfig(nothing),
    DockerVersion: record.dockerVersion, Author: record.author, Config: config,
    Architecture: record.platform.architecture, ...(record.platform.variant === null ? {} : { Variant: record.platform.variant }), Os: record.platform.os,
    Size: record.sizeBytes, VirtualSize: record.sizeBytes, GraphDriver: { Data: null, Name: 'overlayfs' }, RootFS: { Type: 'layers', Layers: record.layers }, Metadata: { LastTagTime: new Date(sinceMs).toISOString() },
  };
}

const nothing: ImageDefaults = { entrypoint: [], cmd: [], env: [], workingDir: '', user: '', labels: {}, exposedPorts: [], volumes: [], stopSignal: '' };

/** Docker says null for a list or map that is not set. */
function dockerConfig(config: ImageDefaults): Record<string, unknown> {
  const list = (texts: readonly string[]) => (texts.length === 0 ? null : texts);
  const set = (keys: readonly string[]) => (keys.length === 0 ? null : Object.fromEntries(keys.map((key) => [key, {}])));
  return {
    Hostname: '', Domainname: '', User: config.user, AttachStdin: false, AttachStdout: false, AttachStderr: false,
    ...(config.exposedPorts.length === 0 ? {} : { ExposedPorts: set(config.exposedPorts) }),
    Tty: false, OpenStdin: false, StdinOnce: false, Env: list(config.env), Cmd: list(config.cmd), Image: '', Volumes: set(config.volumes), WorkingDir: config.workingDir,
    Entrypoint: list(config.entrypoint), OnBuild: null, Labels: Object.keys(config.labels).length === 0 ? null : config.labels, ...(config.stopSignal === '' ? {} : { StopSignal: config.stopSignal }),
    ...(config.healthCheck === undefined ? {} : { Healthcheck: dockerHealthcheck(config.healthCheck) }),
  };
}

/** Newest step first; only the last one has an id, since steps are no images of their own. */
export function imageHistory({ id, names }: FoundImage): DockerImageHistory {
  const { record } = names[0] as Image;
  const { tags } = namesOf(names);
  return record.history.toReversed().map((step, at) => ({
    Id: at === 0 ? id : '<missing>', Created: Math.floor(step.createdAtMs / 1000), CreatedBy: step.createdBy, Tags: at === 0 && tags.length > 0 ? tags : null, Size: step.sizeBytes, Comment: step.comment,
  }));
}
