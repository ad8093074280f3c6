// A volume in Docker's shape, with the host that has its data. Pure but for what is passed in.
import type { DockerVolume } from '@pouch/contracts';
import type { Host, Volume } from '@pouch/domain';
import { hostStanding, mountpointOn } from '../containers/whereabouts.ts';
import type { Projection } from '../projection/projection.ts';

export function shownVolume({ name, labels, dataId, hostId, createdAtMs }: Volume, { present }: Pick<Projection, 'present'>): DockerVolume {
  const host = hostId === null ? null : (present.host(hostId)?.state ?? null);
  return {
    CreatedAt: new Date(createdAtMs).toISOString(), Driver: 'local', Labels: Object.keys(labels).length === 0 ? null : labels, Mountpoint: mountpointOn(host, dataId), Name: name, Options: null, Scope: 'local',
    ...(hostId === null ? {} : { Node: nodeOf(hostId, host) }),
  };
}

function nodeOf(hostId: string, host: Host | null): NonNullable<DockerVolume['Node']> {
  return { ID: hostId, Name: hostId, IP: host?.facts.address ?? '', Status: hostStanding(host) };
}
