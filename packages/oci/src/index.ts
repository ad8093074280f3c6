// The OCI's formats: from Docker's settings to a runtime spec, and the tar that layers and copied files travel in. `buildSpec` and its rooms are pure; `readHostFacts`, `resolveDevices` and `readHostDevices` look at the host.
export { boundingSet, capabilityNames, defaultCapabilities } from './capabilities.ts';
export { buildSpec } from './build-spec.ts';
export { readHostDevices, resolveDevices, type AskedDevice } from './devices.ts';
export { hostsFile, resolvConf, type HostsInput, type ResolvConfInput } from './etc-files.ts';
export { readHostFacts } from './host-facts.ts';
export { mediaTypes } from './image-spec.ts';
export type * from './image-spec.ts';
export type * from './input.ts';
export { buildProcess, type ProcessInput } from './process.ts';
export type { Outcome, SpecRefusal } from './refusal.ts';
export { stringifySpec, type Process, type Spec } from './runtime-spec.ts';
export { parseSeccompProfile, type SeccompProfile } from './seccomp-profile.ts';
export { encodeTarHeader, tarEnd, tarPadding, type TarHeader, type TarType } from './tar/header.ts';
export { readTarMembers, TarError, type TarMember } from './tar/reader.ts';
export { resolveUser, type ReadImageFile } from './users.ts';
