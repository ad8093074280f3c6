// What every side runs: the same image, the same settings, the same OCI spec as Pouch's agent gives a container with Docker's defaults.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSpec, hostsFile, readHostFacts, resolvConf, type Spec, type SpecInput } from '@pouch/oci';
import { buildBusyboxArchive } from '../../../scripts/busybox-image.ts';

export const imageName = 'docker.io/library/busybox:latest';
const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];

/** Body of Docker's create for the measured container. */
export function containerSettings(command: readonly string[], network: 'none' | 'bridge'): object {
  return { Image: imageName, Cmd: command, HostConfig: { NetworkMode: network } };
}

let archive: Promise<Buffer> | undefined;

/** The image as `docker save` writes it; the same bytes for every side. */
export async function busyboxArchive(): Promise<Buffer> {
  archive ??= buildBusyboxArchive(imageName);
  return await archive;
}

export const newId = (): string => randomBytes(32).toString('hex');

export type SpecMaker = (container: { readonly id: string; readonly args: readonly string[]; readonly rootfsPath: string }) => Spec;

/**
 * Makes specs for sides that have no agent. The generated files of /etc are written once and bound into every container: writing them for
 * each is Pouch's and Docker's own work.
 */
export async function specMaker(directory: string, cgroupParent: string): Promise<SpecMaker> {
  const host = readHostFacts();
  const generatedFiles = { hostsPath: join(directory, 'hosts'), hostnamePath: join(directory, 'hostname'), resolvConfPath: join(directory, 'resolv.conf') };
  await Promise.all([
    writeFile(generatedFiles.hostsPath, hostsFile({ hostname: 'bench', domainname: '', extraHosts: [], addresses: [], hostGateway: null })),
    writeFile(generatedFiles.hostnamePath, 'bench\n'),
    writeFile(generatedFiles.resolvConfPath, resolvConf({ hostText: '', dns: [], dnsSearch: [], dnsOptions: [], sharesHostNetwork: false })),
  ]);
  return ({ id, args, rootfsPath }) => {
    const input: SpecInput = {
      args, env, cwd: '/', rootfsPath, hostname: 'bench', tty: false, user: { uid: 0, gid: 0, additionalGids: [], home: '/root' },
      seccomp: 'default', namespaces: { network: { kind: 'new' } }, cgroupsPath: `/${cgroupParent}/${id}`, generatedFiles,
    };
    const made = buildSpec(input, host);
    if (!made.ok) throw new Error(made.refusal.message);
    return made.spec;
  };
}
