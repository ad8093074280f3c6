// What of a container's config.json holds for a machine that only has its files looked at: its root, its binds, the size of its machine. Pure.
import type { MountSpec, RuntimeSpec } from './spec.ts';
import { generated } from './volumes.ts';

/** The guest's init makes its nodes there; the container's own /dev is not to have them. */
const devices: MountSpec = { destination: '/dev', type: 'tmpfs', options: ['nosuid', 'noexec', 'mode=755', 'size=64k'] };

/**
 * No program of the container's runs, so there is no network, no hook, no limit within the guest and no mount that lives only while the container does
 * (tmpfs, secrets). `isThere`: whether a path of the host is; what an engine has not generated yet (it does so at a start) is left out.
 */
export function filesSpec({ ociVersion, root, mounts = [], annotations = {}, linux: { cgroupsPath, resources } = {} }: RuntimeSpec, isThere: (path: string) => boolean): RuntimeSpec {
  return {
    ...(ociVersion === undefined ? {} : { ociVersion }),
    ...(root === undefined ? {} : { root }),
    // What is started instead of it, see `filesPayload`.
    process: { args: ['files'], cwd: '/' },
    mounts: [devices, ...mounts.filter((mount) => isHosts(mount) && !(generated.has(mount.destination) && !isThere(mount.source ?? '')))],
    annotations,
    linux: {
      namespaces: ['network', 'pid', 'ipc', 'mount'].map((type) => ({ type })),
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      // As for a start, so that a template of its machines fits.
      resources: { ...(resources?.memory === undefined ? {} : { memory: resources.memory }), ...(resources?.cpu === undefined ? {} : { cpu: resources.cpu }) },
    },
  };
}

/** A directory or file of the host that outlives the container's run. */
function isHosts({ destination, type = 'bind', options = [] }: MountSpec): boolean {
  const bound = type === 'bind' || type === 'none' || options.includes('bind') || options.includes('rbind');
  return bound && !destination.startsWith('/run/secrets/') && destination !== '/dev' && !destination.startsWith('/dev/');
}
