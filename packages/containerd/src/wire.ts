// Values as they travel: Any and timestamps. Pure conversions between the wire and what callers see.
import { message } from './protos.ts';

/** google.protobuf.Any as proto-loader gives it. containerd's type URLs have no prefix. */
export type Any = { type_url: string; value: Uint8Array };
/** google.protobuf.Timestamp as proto-loader gives it. */
export type WireTimestamp = { seconds: number; nanos: number } | null | undefined;

const RUNTIME_SPEC = 'types.containerd.io/opencontainers/runtime-spec/1';
const UNSET_SECONDS = -62_135_596_800; // Go's zero time, which containerd sends for "not yet"

/** A time as RFC 3339 in UTC with nine digits, so that texts sort as times do; null where containerd has none. */
export function timestampText(time: WireTimestamp): string | null {
  if (time === null || time === undefined || time.seconds === UNSET_SECONDS || (time.seconds === 0 && time.nanos === 0)) return null;
  const seconds = new Date(time.seconds * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(time.nanos).padStart(9, '0')}Z`;
}

/** An OCI runtime-spec value (Spec, Process or LinuxResources) as JSON in an Any, as containerd expects it. */
export function runtimeSpecAny(kind: 'Spec' | 'Process' | 'LinuxResources', value: object): Any {
  return { type_url: `${RUNTIME_SPEC}/${kind}`, value: Buffer.from(JSON.stringify(value)) };
}

/** Encodes one of our .proto messages into an Any. */
export function protoAny(typeName: string, value: object): Any {
  const codec = message(typeName);
  if (codec === undefined) throw new TypeError(`no such message in the .proto files: ${typeName}`);
  return { type_url: typeName, value: codec.serialize(value) };
}

/** Decodes an Any that holds one of our .proto messages; undefined if it holds something else. */
export function decodeAny(any: Any | null | undefined): { typeName: string; value: object } | undefined {
  if (any === null || any === undefined) return undefined;
  const typeName = any.type_url.slice(any.type_url.lastIndexOf('/') + 1);
  const codec = message(typeName);
  return codec === undefined ? undefined : { typeName, value: codec.deserialize(Buffer.from(any.value)) };
}

/** How the io.containerd.runc.v2 shim calls its OCI runtime (containerd.runc.v1.Options). */
export type RuncOptions = {
  /** Path or name of the OCI runtime's binary; the shim's default is `runc`. */
  binaryName?: string;
  /** State directory of the OCI runtime. */
  root?: string;
  systemdCgroup?: boolean;
  noPivotRoot?: boolean;
  noNewKeyring?: boolean;
  shimCgroup?: string;
  ioUid?: number;
  ioGid?: number;
};

/** Runtime options for a container's `runtime.options` or a task's `options`. */
export function runcOptionsAny(options: RuncOptions): Any {
  return protoAny('containerd.runc.v1.Options', options);
}
