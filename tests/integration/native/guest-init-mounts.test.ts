// pouch-init's other roots: a directory of the host by virtiofs, read-only, and volumes of directories and single files; links of an image
// that point out of it stay within. Needs root for virtiofsd.
import { strict as assert } from 'node:assert';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import type { Guest} from '../../fixtures/guest.ts';
import { GuestRefusal, program, record, text, usualMounts } from '../../fixtures/guest.ts';
import { until } from '../../fixtures/native.ts';

const virtiofsd = '/usr/lib/qemu/virtiofsd';
const skip = await guestMissing() || (!existsSync(virtiofsd) && 'not installed: virtiofsd') || (process.getuid?.() !== 0 && 'virtiofsd needs root');
const mount = (destination: string, type: string, source = '', options = '', subpath = ''): Buffer => record(7, text(destination), text(type), text(source), text(options), text(subpath));
const kind = (value: number): Buffer => Buffer.from([value, 0, 0, 0]);

describe('roots and volumes of a guest', { skip }, () => {
  let kit: GuestKit;
  const guests: Guest[] = [];
  const daemons: ChildProcess[] = [];

  async function share(tag: string, directory: string): Promise<{ tag: string; directory: string; socketPath: string }> {
    const socketPath = join(kit.directory, `${tag}.sock`);
    const daemon = spawn(virtiofsd, [`--socket-path=${socketPath}`, '-o', `source=${directory},cache=auto`], { stdio: 'ignore' });
    daemons.push(daemon);
    await until(`virtiofsd for ${tag}`, () => existsSync(socketPath) || undefined);
    return { tag, directory, socketPath };
  }

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
    for (const daemon of daemons) {
      if (daemon.exitCode === null && daemon.signalCode === null) {
        const exited = once(daemon, 'exit');
        daemon.kill('SIGKILL');
        await exited;
      }
    }
    await kit?.remove();
  });

  test('a directory of the host is the root, read-only, with volumes and files over it', async () => {
    const root = await kit.tree({ 'var/lib/a/file': 'below', 'etc/keep': 'k', 'run/x': '' });
    await symlink('/../../../../modules', join(root, 'out')); // the initramfs has such a directory
    await symlink('a/b', join(root, 'var/link'));
    await symlink('/nowhere/yet', join(root, 'etc/resolv.conf'));
    const volume = join(kit.directory, 'volume');
    await mkdir(join(volume, 'sub'), { recursive: true });
    await writeFile(join(volume, 'one'), 'only this');
    const guest = await boot([], { shares: [await share('root', root), await share('vol', volume)] });
    await guest.configure(
      record(2, kind(2), 'root'), record(4), ...usualMounts().slice(1),
      mount('/data', 'virtiofs', 'vol', 'rbind,rw'), mount('/data-ro', 'virtiofs', 'vol', 'rbind,ro'), mount('/etc/keep', 'virtiofs', 'vol', 'ro', '/one'),
      mount('/deep/er/file', 'virtiofs', 'vol', 'rw', 'one'), mount('/out/made', 'tmpfs', '', 'size=1m,nosuid'), mount('/bound', 'bind', '/bin', 'ro'), mount('/var', 'tmpfs', '', 'rw,size=4m,tmpcopyup'),
      record(8, Buffer.from([0xa4, 1, 0, 0]), text('/etc/resolv.conf'), 'nameserver 192.0.2.7\n'),
    );
    await guest.start(1, program(['/bin/sleep', '10000'], record(3, '/made/for/me')));
    assert.equal(await guest.shell('cat /etc/keep /deep/er/file /etc/resolv.conf'), 'only thisonly thisnameserver 192.0.2.7\n');
    assert.equal(await guest.shell('echo from inside > /data/sub/new; cat /data-ro/sub/new; ls /bound/busybox; readlink /proc/1/cwd'), 'from inside\n/bound/busybox\n/made/for/me\n');
    assert.equal(await readFile(join(volume, 'sub', 'new'), 'utf8'), 'from inside\n');
    assert.equal(await guest.shell('cat /var/lib/a/file; stat -c %a:%u /var/lib/a/file; readlink /var/link; touch /var/new; grep -c "tmpfs /var " /proc/mounts'), 'below644:0\na/b\n1\n');
    const { stderr } = await guest.run(['/bin/sh', '-c', 'touch /new; touch /data-ro/new; touch /etc/keep; touch /bound/new; touch /dev/shm/ok; touch /out/made/ok']);
    assert.deepEqual(stderr.trim().split('\n').map((line) => /touch: (\S+): Read-only file system/.exec(line)?.[1]), ['/new', '/data-ro/new', '/etc/keep', '/bound/new']);
    const mounts = await guest.shell('cat /proc/mounts');
    assert.match(mounts, /^root \/ virtiofs ro/m);
    assert.match(mounts, /^tmpfs \/modules\/made tmpfs/m); // where the link leads within the root
    await guest.close();
  });

  test('an erofs root without a scratch disk is written to memory; settings that cannot be had are refused by name', async () => {
    const path = await kit.root();
    const first = await boot([{ path, readOnly: true }]);
    await first.configure(...usualMounts());
    await first.start(1, program(['/bin/sh', '-c', 'echo kept > /new; cat /new; exec sleep 1000']));
    await first.until('its word', () => first.output(1) === 'kept\n' || undefined);
    await first.close();

    const guest = await boot([{ path, readOnly: true }]);
    await assert.rejects(guest.configure(...usualMounts(), mount('/x', 'nfs', 'server:/')), (error: unknown) => {
      assert.ok(error instanceof GuestRefusal);
      assert.match(error.message, /mount on \/x: a guest has no mounts of type nfs/);
      return true;
    });
    assert.match(await guest.console(), /CONFIGURE: mount on \/x/);
    await guest.ping();
    await guest.close();
  });
});
