// pouch-monitor and pouch-init together: a real machine, as an unprivileged user, from boot to power-off.
import assert from 'node:assert/strict';
import { chmod, readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { op, record } from '../../fixtures/frames.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { program, usualMounts } from '../../fixtures/guest.ts';
import { testMachine, text } from '../../fixtures/machine-monitor.ts';

const skip = await guestMissing();

describe('a machine under its monitor', { skip }, () => {
  let kit: GuestKit;
  before(async () => { kit = await GuestKit.make(); });
  after(async () => { await kit?.remove(); });

  test('input, output, an exec, a status, and an orderly end', async (t) => {
    const vm = await testMachine(t);
    const root = process.getuid?.() === 0;
    // QEMU's user makes its sockets here and reads the images.
    await chmod(vm.dir, 0o777);
    await chmod(kit.directory, 0o755);
    const command = kit.command(vm.dir, [{ path: await kit.root(), readOnly: true }]);
    const monitor = await vm.boot({
      real: { command, configure: Buffer.concat(usualMounts()), spawn: program(['/bin/sh', '-c', 'cat; echo end >&2; exit 7'], record(6, '')) },
      lines: root ? ['uid 65534', 'gid 65534', 'poweroff-timeout-ms 30000'] : ['poweroff-timeout-ms 30000'],
    });
    assert.equal(await monitor.ready, `ok ${monitor.child.pid}\n`);
    const { qemuPid } = await vm.status();
    const about = await readFile(`/proc/${qemuPid}/status`, 'utf8');
    if (root) assert.match(about, /^Uid:\t65534\t65534\t65534\t65534$[\s\S]*^CapEff:\t0+$[\s\S]*^NoNewPrivs:\t1$/m);
    const output = text(monitor.stdout);
    const errors = text(monitor.stderr);
    const client = vm.client();
    assert.equal((await client.start()).op, op.start);
    const exec = vm.client();
    exec.send(op.spawn, 0, program(['/bin/sh', '-c', 'kill -9 $$']));
    await exec.take(op.spawned);
    assert.equal((await exec.take(op.exited)).payload.readUInt32LE(0), 137);
    const sent = Buffer.alloc(1 << 20, 'input that comes back\n').toString();
    monitor.stdin.end(sent);
    assert.equal(await output === sent, true);
    assert.equal(await errors, 'end\n');
    assert.equal(await monitor.exited, 7);
    assert.equal((await vm.status()).error, undefined);
  });
});
