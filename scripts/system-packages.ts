// Installs with apt what is missing of the system's programs. It must not replace what is there, and lets no package start a service.
import { execFile, spawn } from 'node:child_process';
import { access, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { locateProgram } from './cluster/programs.ts';

type Need = { readonly packages: readonly string[]; readonly why: string; readonly isThere: () => Promise<boolean> };

const program = (...names: string[]) => async (): Promise<boolean> => (await Promise.all(names.map(locateProgram))).every((path) => path !== undefined);

const anyFile = (...paths: string[]) => async (): Promise<boolean> =>
  (await Promise.all(paths.map((path) => access(path).then(() => true, () => false)))).includes(true);

/** Whether /bin/busybox can run without the host's libraries: an ELF file that asks for no interpreter (PT_INTERP, type 3). */
export async function hasStaticBusybox(): Promise<boolean> {
  const path = await locateProgram('busybox');
  if (path === undefined) return false;
  const elf = await readFile(path);
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46) return false;
  const is64 = elf[4] === 2;
  const offset = is64 ? Number(elf.readBigUInt64LE(32)) : elf.readUInt32LE(28);
  const size = elf.readUInt16LE(is64 ? 54 : 42);
  const count = elf.readUInt16LE(is64 ? 56 : 44);
  for (let index = 0; index < count; index++) {
    const at = offset + index * size;
    if (at + 4 > elf.length || elf.readUInt32LE(at) === 3) return false;
  }
  return true;
}

/** What running a cluster takes. Another vendor's containerd (containerd.io) serves as well as the distribution's. */
export const clusterNeeds: readonly Need[] = [
  { packages: ['containerd'], why: 'images and tasks', isThere: program('containerd', 'containerd-shim-runc-v2') },
  { packages: ['runc'], why: 'the default runtime', isThere: program('runc') },
  { packages: ['containernetworking-plugins'], why: 'bridges and port mappings', isThere: anyFile('/usr/lib/cni/bridge', '/opt/cni/bin/bridge') },
  { packages: ['iptables'], why: 'port mappings', isThere: program('iptables') },
  { packages: ['iproute2'], why: 'bridges', isThere: program('ip') },
  { packages: ['ca-certificates'], why: 'registries', isThere: anyFile('/etc/ssl/certs/ca-certificates.crt') },
  { packages: ['make', 'gcc'], why: 'building the small C programs', isThere: program('make', 'gcc') },
  { packages: ['musl-tools'], why: 'building the small C programs', isThere: program('musl-gcc') },
  { packages: ['busybox-static'], why: 'the image busybox where no registry can be reached', isThere: hasStaticBusybox },
  { packages: ['procps'], why: '`docker top`', isThere: program('ps') },
];

/** What containers that are virtual machines take besides; a cluster runs without. */
export const machineNeeds: readonly Need[] = [
  { packages: ['qemu-system-x86'], why: 'virtual machines', isThere: program('qemu-system-x86_64') },
  { packages: ['virtiofsd|qemu-system-common'], why: 'volumes of virtual machines', isThere: anyFile('/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd') },
  { packages: ['erofs-utils'], why: 'layers of virtual machines', isThere: program('mkfs.erofs') },
  { packages: ['e2fsprogs'], why: 'disks of virtual machines', isThere: program('mkfs.ext4') },
  { packages: ['xz-utils'], why: 'guest kernels', isThere: program('xz') },
];

/** What the tests use besides: the real docker CLI, docker-compose's check of docker-compose.yml, podman. */
export const testNeeds: readonly Need[] = [
  // Debian 13 has the CLI in a package of its own, Debian 12 only together with the engine, which is not started.
  { packages: ['docker-cli|docker.io'], why: 'tests with the real docker CLI', isThere: program('docker') },
  { packages: ['docker-compose'], why: 'checking docker-compose.yml', isThere: program('docker-compose') },
  { packages: ['podman'], why: 'runv as the runtime of podman', isThere: program('podman') },
];

/** A program that says "no" whenever a package wants to start a service: Debian's policy-rc.d, for the time of one installation. */
async function withoutStartingServices(work: () => Promise<void>): Promise<void> {
  const policy = '/usr/sbin/policy-rc.d';
  const mine = await access(policy).then(() => false, () => true);
  if (mine) {
    await writeFile(policy, '#!/bin/sh\nexit 101\n');
    await chmod(policy, 0o755);
  }
  try {
    await work();
  } finally {
    if (mine) await rm(policy, { force: true });
  }
}

async function apt(args: readonly string[]): Promise<void> {
  const child = spawn('apt-get', ['-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=3', '-qq', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', LANG: 'C.UTF-8' },
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => reject(new Error('apt-get cannot be started: Pouch installs its needs on Debian and Ubuntu only', { cause })));
    child.once('exit', (code) => { if (code === 0) resolve(); else reject(new Error(`apt-get ${args.join(' ')} failed; what it wrote above says why`)); });
  });
}

/** The first of several packages that this distribution has; the last one if it has none, for apt to complain about. */
async function firstKnown(names: readonly string[]): Promise<string> {
  for (const name of names.slice(0, -1)) {
    const { stdout } = await promisify(execFile)('apt-cache', ['show', name]).catch(() => ({ stdout: '' })); // unknown: the next one
    if (stdout.includes(`Package: ${name}\n`)) return name;
  }
  return names.at(-1) ?? '';
}

/** Names of packages that are needed and not there. */
export async function missingPackages(needs: readonly Need[]): Promise<string[]> {
  const there = await Promise.all(needs.map((need) => need.isThere()));
  return needs.flatMap((need, index) => there[index] === true ? [] : need.packages);
}

/** Installs what is missing; touches apt only if something is. */
export async function installMissing(needs: readonly Need[], say: (line: string) => void): Promise<void> {
  const packages = await missingPackages(needs);
  if (packages.length === 0) return;
  say(`installing ${packages.join(', ')}`);
  await withoutStartingServices(async () => {
    await apt(['update']);
    const chosen: string[] = [];
    for (const alternatives of packages) chosen.push(await firstKnown(alternatives.split('|')));
    await apt(['install', '-y', '--no-install-recommends', ...chosen]);
  });
  const still = await missingPackages(needs);
  if (still.length > 0) throw new Error(`these are still missing after apt-get install: ${still.join(', ')}`);
}
