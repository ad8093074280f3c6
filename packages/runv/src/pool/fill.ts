// Makes machines for the pool: a template's clone with an image's layers, prepared and rehearsed, then stopped. Each belongs to its keeper
// (pouch-monitor), which outlives us. One process fills a key at once; whoever starts it must not wait for it.
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { limitCgroups, makeCgroups } from '../cgroups.ts';
import type { RunvConfig } from '../config.ts';
import { launchMonitor } from '../launch.ts';
import { configText } from '../monitor-config.ts';
import { passDescriptors } from '../machine/descriptors.ts';
import { takeLock } from '../machine/once.ts';
import { Qmp } from '../machine/qmp.ts';
import { qemuCommand } from '../machine/qemu-command.ts';
import { cloneOf, makeTemplate, stateFd, sweepTemplates, wakeClone, type Template } from '../machine/template.ts';
import { tapName } from '../network.ts';
import { provideScratch } from '../rootfs/scratch.ts';
import { memberKey, readyMembers, recentUses, type MemberRecord } from './members.ts';
import { memberPlaces, poolPlaces } from './places.ts';
import { rehearse } from './rehearsal.ts';
import { roomFor, targetSize } from './size.ts';
import type { Wanted } from './wanted.ts';

/** The control group of members: they make way for whoever works. A claim moves them out of it. */
const cgroup = '/runv-pool';
const shares = 512;
const keptTemplates = 16;

async function availableBytes(): Promise<number> {
  return Number(/^MemAvailable:\s*(\d+) kB/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
}

/** Makes members of this key until there are as many as its recent use is worth. Returns how many it made. */
export async function fillPool(wanted: Wanted, config: RunvConfig): Promise<number> {
  const { layerDir } = config;
  const key = await memberKey(wanted.machine, wanted.root);
  const { directory, scratchDir } = poolPlaces(layerDir);
  await mkdir(join(directory, key), { recursive: true, mode: 0o711 });
  await mkdir(scratchDir, { recursive: true, mode: 0o700 });
  const release = await takeLock(join(directory, `${key}.lock`));
  if (release === undefined) return 0; // another one is at it, and looks again before it ends
  try {
    const cgroups = makeCgroups(cgroup);
    limitCgroups(cgroups, { cpu: { shares } }, 0);
    for (const one of cgroups) writeFileSync(join(one, 'cgroup.procs'), String(process.pid));
    const template = await makeTemplate(config.templateDir, wanted.machine, { user: { uid: config.uid, gid: config.gid }, bootTimeoutMs: config.bootTimeoutMs });
    await sweepTemplates(config.templateDir, keptTemplates);
    for (let made = 0; ; made++) {
      const waiting = await readyMembers(layerDir);
      const target = targetSize(await recentUses(layerDir, key), Date.now(), { most: config.pool, idleMs: config.poolIdleMs });
      const room = roomFor(wanted.machine.memoryBytes, waiting.map(({ guestBytes }) => guestBytes), config.poolMemoryBytes, await availableBytes());
      if (room < 1 || made >= 2 * config.pool || waiting.filter((member) => member.key === key).length >= target) return made;
      await makeMember(wanted, template, key, config, cgroups);
    }
  } finally {
    await release();
  }
}

async function makeMember({ machine, rehearsal }: Wanted, template: Template, key: string, config: RunvConfig, cgroups: readonly string[]): Promise<void> {
  const { directory, scratchDir } = poolPlaces(config.layerDir);
  const name = randomBytes(4).toString('hex');
  const whole = join(directory, key, name);
  const places = memberPlaces(`${whole}.new`);
  const scratch = join(scratchDir, `${name}.img`);
  let keeper: number | undefined;
  try {
    await mkdir(places.directory, { mode: 0o711 });
    await mkdir(places.qemuDir, { mode: 0o700 });
    await writeFile(places.consolePath, '', { mode: 0o640 });
    for (const path of [places.qemuDir, places.consolePath]) await chown(path, config.uid, config.gid);
    await provideScratch(scratch, config.layerDir, { uid: config.uid, gid: config.gid });
    const { disks, opens } = passDescriptors(machine.disks.map(({ id, path, readOnly }) => ({ id, readOnly, path: readOnly ? path : scratch })));
    const clone = cloneOf({ ...machine, disks, controlPath: places.controlPath, qmpPath: places.qmpPath, consolePath: places.consolePath, name: `ready-${name}` }, template);
    const confPath = join(places.directory, 'keeper.conf');
    await writeFile(confPath, configText([
      ['role', 'keeper'], ['ready-fd', 3], ['socket', places.keeperSocket], ['directory', whole], ['owned', scratch], ['idle-ms', config.poolIdleMs],
      ...(machine.nic === undefined ? [] : [['tap', tapName] as const]),
      ...cgroups.map((one) => ['cgroup', join(one, 'cgroup.procs')] as const),
      ['uid', config.uid], ['gid', config.gid], ['qemu-log', places.qemuLog],
      ...qemuCommand(clone).map((argument) => ['qemu-arg', argument] as const),
      ...opens.map(({ fd, path, readOnly }) => ['open', `${fd} ${readOnly ? 'ro' : 'rw'} ${path}`] as const),
      ['open', `${stateFd} ro ${template.statePath}`],
    ]), { mode: 0o600 });
    keeper = (await launchMonitor(confPath, { detached: true, readyTimeoutMs: config.bootTimeoutMs })).pid;
    await wakeClone(places.qmpPath, config.bootTimeoutMs);
    await rehearse(places.controlPath, rehearsal, config.bootTimeoutMs);
    const qmp = await Qmp.connect(places.qmpPath);
    try {
      await qmp.stop();
    } finally {
      qmp.close();
    }
    await writeFile(places.recordPath, JSON.stringify({ scratch, guestBytes: machine.memoryBytes, layers: machine.disks.filter(({ readOnly }) => readOnly).map(({ path }) => path) } satisfies MemberRecord), { mode: 0o600 });
    await rename(places.directory, whole);
  } catch (error) {
    if (keeper !== undefined && existsSync(places.keeperSocket)) process.kill(keeper, 'SIGKILL'); // QEMU goes with it
    await rm(places.directory, { recursive: true, force: true });
    await rm(scratch, { force: true });
    throw error;
  }
}
