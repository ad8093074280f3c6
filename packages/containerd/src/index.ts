// @pouch/containerd: a client of containerd 1.6 to 2.x, and image pull and load on top of it. Knows nothing of Docker's API or of Pouch.
export { connect, Containerd, type ConnectOptions, type Logger, type PluginInfo } from './client.ts';
export type { Container, Containers, NewContainer } from './containers.ts';
export type { Content, ContentInfo, Ingest } from './content.ts';
export type { ContentWriter, WriteTarget } from './content-writer.ts';
export { ContainerdError, isContainerdError, type ContainerdErrorCode } from './errors.ts';
export type { ContainerdEvent, Events, Subscription } from './events.ts';
export type { Descriptor, ImageRecord, ImageStore } from './image-store.ts';
export type { Lease, LeaseResource, Leases } from './leases.ts';
export { blkioGroups, decodeMetrics, type MetricsV1, type MetricsV2 } from './metrics.ts';
export type { CallOptions } from './rpc.ts';
export type { Mount, SnapshotInfo, SnapshotKind, Snapshots } from './snapshots.ts';
export type { NewExec, NewTask, TaskExit, TaskMetric, TaskProcess, Tasks, TaskStatus, TaskStdio } from './tasks.ts';
export { protoAny, runcOptionsAny, runtimeSpecAny, type Any, type RuncOptions } from './wire.ts';

export { ImageError, type ImageErrorCode } from './image/image-error.ts';
export { imageUsage, inspectImage, unpackImage, type ImageDetails } from './image/inspect.ts';
export { chainIds, digestOf, parsePlatform, platformText, type ImageConfig, type Platform } from './image/manifest.ts';
export { nameImage, type NameRequest } from './image/naming.ts';
export { pull, shortDigest, type PulledImage, type PullOptions, type PullProgress } from './image/pull.ts';
export { familiarName, isDigest, parseReference, type Reference } from './image/reference.ts';
export { readManifest, type BlobSource, type BlobStream } from './registry/repository.ts';
export type { Credentials, RegistryConfig } from './registry/endpoints.ts';
export { decompressed } from './image/decompressed.ts';
export { readTar, type TarEntry } from './image/tar-reader.ts';
export { load, type LoadedImage, type LoadOptions, type LoadProgress } from './image/load.ts';
