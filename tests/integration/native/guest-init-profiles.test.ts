// pouch-init on the machines of old kernels: one console instead of a named port, one ext4 disk, and nothing but serial ports with the root
// in the initramfs. What a channel like these cannot tell (its other end's closing) or would lose must not matter.
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { packCpio } from '../../../packages/runv/src/machine/cpio.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { op, program, record, u32, usualMounts, type Guest } from '../../fixtures/guest.ts';

const skip = await guestMissing();

describe('pouch-init on other machines', { skip }, () => {
  let kit: GuestKit;
  const guests: Guest[] = [];

  async function boot(...args: Parameters<GuestKit['boot']>): Promise<Guest> {
    const guest = await kit.boot(...args);
    guests.push(guest);
    return guest;
  }

  before(async () => {
    kit = await GuestKit.make();
  });
  after(async () => {
    for (const guest of guests) await guest.close();
    await kit?.remove();
  });

  /** A connection cut within a frame, on a channel where the guest cannot see that. */
  async function reconnects(guest: Guest): Promise<void> {
    guest.raw(Buffer.concat([u32(30_000), Buffer.from([op.stdin, 0, 0, 0]), u32(1), Buffer.alloc(100)]));
    await guest.disconnect();
    await guest.connect();
    await guest.hello();
    await guest.ping();
  }

  test('a pc with one virtio console and one ext4 disk', async () => {
    const disk = await kit.disk();
    const guest = await boot([{ path: disk, readOnly: false }], { profile: 'classic', singlePort: true, append: ['pouch.control=hvc0'] });
    assert.equal(guest.features & 16, 0);
    await guest.configure(record(2, Buffer.from([1, 0, 0, 0]), '/dev/vda'), ...usualMounts().slice(1));
    await guest.start(1, program(['/bin/sh', '-c', 'echo kept > /new; exec sleep 1000']));
    // More than any socket holds, read as quickly as this process can: nothing of it is lost, and other frames come in between.
    const lines = Array.from({ length: 600_000 }, (_, index) => String(index + 1)).join('\n');
    assert.equal((await guest.run(['/bin/seq', '1', '600000'])).stdout.trimEnd() === lines, true);
    await reconnects(guest);
    assert.match(await guest.shell('cat /new /proc/mounts'), /^kept\n[^]*\/dev\/root \/ ext4 rw|^kept\n[^]*\/dev\/vda \/ ext4 rw/);
    guest.send(op.poweroff, 0, u32(100));
    assert.equal(await guest.gone(), true);
    // What was written is there for the next start.
    const again = await boot([{ path: disk, readOnly: false }], { profile: 'classic' });
    await again.configure(record(2, Buffer.from([1, 0, 0, 0]), '/dev/vda'), ...usualMounts().slice(1));
    await again.start(1, program(['/bin/cat', '/new']));
    assert.equal((await again.ended(1)).stdout, 'kept\n');
  });

  test('a pc with nothing but serial ports, its root in the initramfs', async () => {
    const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path)) ?? '';
    const directory = (name: string): { name: string; mode: number } => ({ name, mode: 0o40755 });
    const rootfs = packCpio([
      ...['rootfs', 'rootfs/bin', 'rootfs/proc', 'rootfs/sys', 'rootfs/dev'].map(directory),
      { name: 'rootfs/bin/busybox', mode: 0o100755, content: await readFile(busybox) },
      ...['sh', 'cat', 'ps', 'sleep'].map((name) => ({ name: `rootfs/bin/${name}`, mode: 0o120777, content: Buffer.from('busybox') })),
    ]);
    const initrdPath = join(kit.directory, 'bare.initrd');
    await writeFile(initrdPath, Buffer.concat([await readFile(kit.kernel.initrdPath), rootfs]));
    const guest = await boot([], { profile: 'bare', append: ['pouch.control=ttyS1'], kernel: { imagePath: kit.kernel.imagePath, initrdPath } });
    await guest.configure(...usualMounts().slice(1), record(5, 'plain'));
    await guest.start(1, program(['/bin/sleep', '1000']));
    assert.equal(await guest.shell('cat /proc/sys/kernel/hostname /proc/1/comm'), 'plain\nsleep\n');
    const id = guest.newId();
    await guest.start(id, program(['/bin/cat'], record(6)));
    const all = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256));
    guest.send(op.stdin, id, all);
    guest.send(op.stdinClose, id);
    await guest.ended(id);
    assert.deepEqual(Buffer.concat(guest.frames.filter((one) => one.id === id && one.op === op.stdout).map((one) => one.payload)), all);
    await reconnects(guest);
    guest.send(op.poweroff, 0, u32(100));
    assert.equal(await guest.gone(), true);
  });
});
