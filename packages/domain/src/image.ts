// One name of one image on one host. Docker's image list is these records grouped by image id.
import type { HealthCheck } from './container/health-check.ts';
import { accept, assertNever, refuse, type Decision } from './decision.ts';
import type { HostId, ImageId, ImageKey } from './ids.ts';

/** What is known of an image without asking the host. */
export interface ImageRecord {
  readonly id: ImageId;
  /** Digest of the manifest or index that the name points to. */
  readonly manifestDigest: string;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string | null };
  /** Unpacked layers as Docker counts them, in bytes. */
  readonly sizeBytes: number;
  readonly createdAtMs: number;
  readonly author: string;
  readonly comment: string;
  readonly dockerVersion: string;
  readonly config: ImageDefaults;
  /** Digests of the unpacked layers, lowest first. */
  readonly layers: readonly string[];
  readonly history: readonly { readonly createdAtMs: number; readonly createdBy: string; readonly comment: string; readonly sizeBytes: number; readonly emptyLayer: boolean }[];
}

/** The image's own settings, which a container takes where nothing else is said. */
export interface ImageDefaults {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  /** Empty: SIGTERM. */
  readonly stopSignal: string;
  /** Absent: it has none, or an earlier version noted it. */
  readonly healthCheck?: HealthCheck;
}

export interface Image {
  readonly key: ImageKey;
  readonly hostId: HostId;
  /** Canonical, `docker.io/library/busybox:latest`; for an image whose last name moved away, its id. */
  readonly name: string;
  readonly state: 'present' | 'removed';
  readonly record: ImageRecord;
  readonly sinceMs: number;
}

export type ImageArrival = 'pulled' | 'loaded' | 'tagged' | 'found';

export type ImageEvent =
  /** `arrival: found` was there without the log knowing of it, e.g. after the log was lost. */
  | { readonly type: 'ImageStored'; readonly arrival: ImageArrival; readonly key: ImageKey; readonly hostId: HostId; readonly name: string; readonly record: ImageRecord; readonly atMs: number }
  /** `deleted`: with this name the last one went, and the image with it. */
  | { readonly type: 'ImageUntagged'; readonly deleted: boolean; readonly atMs: number };

export type ImageCommand =
  | { readonly type: 'ReportImageStored'; readonly arrival: ImageArrival; readonly key: ImageKey; readonly hostId: HostId; readonly name: string; readonly record: ImageRecord }
  | { readonly type: 'ReportImageUntagged'; readonly deleted: boolean };

export function decideImage(state: Image | null, command: ImageCommand, nowMs: number): Decision<ImageEvent> {
  switch (command.type) {
    case 'ReportImageStored': {
      const { arrival, key, hostId, name, record } = command;
      const known = state?.state === 'present' && state.record.id === record.id && state.record.manifestDigest === record.manifestDigest;
      // Docker tells of a pull even when nothing was new; a mere find is no news.
      if (known && arrival === 'found') return accept();
      return accept({ type: 'ImageStored', arrival, key, hostId, name, record, atMs: nowMs });
    }
    case 'ReportImageUntagged':
      if (state === null) return refuse('not-found', 'no such image');
      return state.state === 'present' ? accept({ type: 'ImageUntagged', deleted: command.deleted, atMs: nowMs }) : accept();
    default:
      return assertNever(command);
  }
}

export function evolveImage(state: Image | null, event: ImageEvent): Image | null {
  switch (event.type) {
    case 'ImageStored':
      return { key: event.key, hostId: event.hostId, name: event.name, state: 'present', record: event.record, sinceMs: event.atMs };
    case 'ImageUntagged':
      return state === null ? null : { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}
