// pouch-init in a booted guest, driven over the control channel: what a container's processes see and how they end.
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import type { Guest} from '../../fixtures/guest.ts';
import { GuestRefusal, op, program, record, text, u16, u32, u64, usualMounts } from '../../fixtures/guest.ts';

const skip = await guestMissing();
const errno = { EACCES: 13, EEXIST: 17, EISDIR: 21, EINVAL: 22, ENOENT: 2, ENOEXEC: 8, ENOTSUP: 95, ESRCH: 3, EALREADY: 114 };
const mac = Buffer.from('5254000a0b0c', 'hex');
const file = (path: string, content: string, mode = 0o644): Buffer => record(8, u32(mode), text(path), content);
const refusal = (code: number, words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof GuestRefusal, String(error));
  assert.match(error.message, words);
  assert.equal(error.errno, code, error.message);
  return true;
};

describe('pouch-init in a guest', { skip }, () => {
  let kit: GuestKit;
  let guest: Guest;

  before(async () => {
    kit = await GuestKit.make();
    const root = await kit.root({ 'etc/layer': 'lower', 'etc/lower-only': 'yes', 'bin/not-executable': '#!/bin/sh\n', 'bin/no-format': 'nonsense' });
    const upper = await kit.layer({ 'etc/layer': 'upper', 'etc/upper-only': 'yes' });
    guest = await kit.boot(
      [{ path: root, readOnly: true }, { path: upper, readOnly: true }, { path: await kit.scratch(), readOnly: false }], {},
      ['-netdev', 'user,id=n0', '-device', 'virtio-net-device,netdev=n0,mac=52:54:00:00:00:99'],
    );
    const now = BigInt(Date.UTC(2031, 4, 5)) * 1_000_000n;
    await guest.configure(
      record(1, u64(now), randomBytes(32)),
      ...usualMounts('/dev/vdc'),
      record(2, Buffer.from([0, 0, 0, 0]), '/dev/vdb'),
      record(5, 'hypervisor'), record(6, 'example.test'),
      file('/etc/resolv.conf', 'nameserver 192.0.2.1\n'), file('/etc/hosts', '127.0.0.1 localhost\n'), file('/run/deep/er/file', 'made', 0o600),
      record(9, text('net.ipv4.ip_forward'), '1'), record(9, text('kernel.msgmax'), '9000'),
      record(10, u32(1400), mac, Buffer.alloc(2), 'eth0'),
      record(11, Buffer.from([4, 24, 0, 0, 10, 0, 2, 15]), 'eth0'),
      record(12, Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]), 'eth0'),
      record(13, '/proc/kcore'), record(13, '/proc/scsi'), record(13, '/proc/not-there'), record(14, '/proc/sys'), record(14, '/etc/hosts'),
      record(15, Buffer.from('c\0\0\0'), u32(1, 5, 0o640, 33, 50), '/dev/null-two'),
      record(16, Buffer.from('00112233445566778899aabbccddeeff', 'hex')),
    );
    await guest.start(1, program(['/bin/sh', '-c', 'trap "exit 7" USR1; echo $$ > /pid-of-first; while :; do sleep 0.05; done']));
  });
  after(async () => {
    await guest?.close();
    await kit?.remove();
  });

  test('the root is an overlay of the layers, in their order, and can be written', async () => {
    assert.equal(await guest.shell('cat /etc/layer /etc/lower-only /etc/upper-only; echo w > /etc/layer; cat /etc/layer'), 'upperyesyesw\n');
    assert.match(await guest.shell('cat /proc/mounts'), /^overlay \/ overlay rw/m);
  });

  test('mounts, names, files, sysctls, devices and the clock are as configured', async () => {
    assert.equal(await guest.shell('hostname; cat /proc/sys/kernel/domainname'), 'hypervisor\nexample.test\n');
    assert.equal(await guest.shell('cat /etc/resolv.conf /run/deep/er/file; stat -c %a /run/deep/er/file'), 'nameserver 192.0.2.1\nmade600\n');
    assert.equal(await guest.shell('cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax'), '1\n9000\n');
    assert.equal(await guest.shell('stat -c "%F %a %u %g %t:%T" /dev/null-two; cat /etc/machine-id'), 'character special file 640 33 50 1:5\n00112233445566778899aabbccddeeff\n');
    assert.equal(await guest.shell('date +%Y-%m'), '2031-05\n');
    assert.equal(await guest.shell('echo x > /dev/null && head -c 3 /dev/zero | wc -c && readlink /dev/fd && readlink /dev/ptmx'), '3\n/proc/self/fd\npts/ptmx\n');
    const mounts = await guest.shell('cat /proc/mounts');
    for (const line of [/^tmpfs \/dev tmpfs rw,nosuid/m, /^devpts \/dev\/pts devpts .*gid=5,mode=620/m, /^tmpfs \/dev\/shm tmpfs rw,nosuid,nodev,noexec/m, /^sysfs \/sys sysfs ro/m, /^proc \/proc proc rw,nosuid,nodev,noexec/m]) assert.match(mounts, line);
    assert.doesNotMatch(mounts, /\/scratch |\/newroot|\/l\/0 /);
  });

  test('masked and read-only paths hold in the container\'s own /proc', async () => {
    assert.equal(await guest.shell('wc -c < /proc/kcore; ls /proc/scsi | wc -l'), '0\n0\n');
    const { status, stderr } = await guest.run(['/bin/sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward || echo 2 > /etc/hosts']);
    assert.equal(status, 1);
    assert.match(stderr, /ip_forward: Read-only file system[^]*hosts: Read-only file system/);
  });

  test('the link has its name, MAC, MTU, address and route; lo is up', async () => {
    const links = await guest.shell('ip addr; ip route');
    assert.match(links, /lo: <LOOPBACK,UP/);
    assert.match(links, /eth0: <(?:NO-CARRIER,)?BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400[^]*52:54:00:0a:0b:0c[^]*inet 10\.0\.2\.15\/24 brd 10\.0\.2\.255/);
    assert.match(links, /default via 10\.0\.2\.2 dev eth0/);
  });

  test('the first process is 1 in its own pid namespace, and later processes join it', async () => {
    assert.equal(await guest.shell('cat /pid-of-first'), '1\n');
    const list = (await guest.shell('ps -o pid,args')).trim().split('\n');
    assert.match(list[1] ?? '', /^\s*1 \/bin\/sh -c trap/);
    assert.doesNotMatch(list.join('\n'), /init|kthread/);
  });

  test('a process has its user, groups, directory, environment, limits and mask', async () => {
    const id = guest.newId();
    await guest.start(id, Buffer.concat([
      ...['sh', '-c', 'id -u; id -g; id -G; pwd; echo $HOME $A; umask; ulimit -n; cat /proc/self/oom_score_adj; grep -E "Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs" /proc/self/status'].map((arg) => record(1, arg)),
      record(2, 'PATH=/bin'), record(2, 'A=b c'), record(3, '/tmp'), record(4, u32(33, 33, 0o027, 50, 1000)),
      record(6), record(7, u64(0x1fn, 0x1n, 0x1n, 0x1n, 0x1n)), record(8, u32(7, 0), u64(99n, 100n)), record(9), record(10, u32(500)),
    ]));
    assert.equal((await guest.ended(id)).stdout, [
      '33', '33', '33 50 1000', '/tmp', '/home b c', '0027', '99', '500',
      'CapPrm:\t0000000000000001', 'CapEff:\t0000000000000001', 'CapBnd:\t000000000000001f', 'CapAmb:\t0000000000000001', 'NoNewPrivs:\t1', '',
    ].join('\n'));
  });

  test('limits that are not set are those of a container elsewhere', async () => {
    assert.equal(await guest.shell('ulimit -n; umask; grep -c "Max processes *unlimited" /proc/self/limits'), '1048576\n0022\n1\n');
  });

  test('a seccomp filter is put on, with no_new_privs and without', async () => {
    // if (nr == mkdir) return EPERM; else allow
    const instruction = (code: number, jt: number, jf: number, k: number): Buffer => Buffer.concat([u16(code), Buffer.from([jt, jf]), u32(k)]);
    const filter = Buffer.concat([instruction(0x20, 0, 0, 0), instruction(0x15, 0, 1, 83), instruction(0x06, 0, 0, 0x50001), instruction(0x06, 0, 0, 0x7fff0000)]);
    for (const more of [[record(9)], []]) {
      const { stderr, status } = await guest.run(['/bin/mkdir', '/tmp/forbidden'], record(11, filter), ...more);
      assert.equal(status, 1);
      assert.match(stderr, /Operation not permitted/);
    }
  });

  test('exit codes and signals', async () => {
    assert.equal((await guest.run(['/bin/sh', '-c', 'exit 42'])).status, 42);
    const id = guest.newId();
    await guest.start(id, program(['/bin/sleep', '1000']));
    guest.send(op.signal, id, u32(15, 0));
    assert.equal((await guest.ended(id)).status, 143);
    guest.send(op.signal, id, u32(15, 0));
    await assert.rejects(guest.answer(op.pong, id), refusal(errno.ESRCH, /has ended/));
  });

  test('a program that cannot be started is told in runc\'s words', async () => {
    const start = (args: string[], ...more: Buffer[]): Promise<number> => guest.start(guest.newId(), program(args, ...more));
    await assert.rejects(start(['no-such']), refusal(errno.ENOENT, /^exec: "no-such": executable file not found in \$PATH$/));
    await assert.rejects(start(['/no/such']), refusal(errno.ENOENT, /^exec: "\/no\/such": stat \/no\/such: no such file or directory$/));
    await assert.rejects(start(['/bin/not-executable']), refusal(errno.EACCES, /^exec: "\/bin\/not-executable": permission denied$/));
    await assert.rejects(start(['/tmp']), refusal(errno.EISDIR, /^exec: "\/tmp": is a directory$/));
    await assert.rejects(start(['/etc/layer']), refusal(errno.EACCES, /permission denied/));
    await guest.shell('chmod +x /bin/no-format');
    await assert.rejects(start(['no-format']), refusal(errno.ENOEXEC, /exec format error/));
    await assert.rejects(start(['true'], record(3, '/not/there')), refusal(errno.ENOENT, /chdir to cwd \("\/not\/there"\)[^]*no such file or directory/));
    guest.frames.length = 0;
    await assert.rejects(guest.start(1, program(['true'])), refusal(errno.EEXIST, /already/));
    await assert.rejects(start(['true'], record(99)), refusal(errno.ENOTSUP, /unknown setting 99/));
    await guest.ping();
  });

  test('stdin passes through, ends, and is held back by credit', async () => {
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'sleep 1; wc -c'], record(6)));
    // As much as there is credit for, to a process that does not read yet.
    const chunk = Buffer.alloc(32 << 10, 'x');
    for (let i = 0; i < 8; i++) guest.send(op.stdin, id, chunk);
    await guest.ping();
    guest.send(op.stdinClose, id);
    assert.equal((await guest.ended(id)).stdout.trim(), String(256 << 10));
    const over = guest.newId();
    await guest.start(over, program(['/bin/sleep', '1000'], record(6)));
    for (let i = 0; i < 12; i++) guest.send(op.stdin, over, chunk);
    await assert.rejects(guest.answer(op.pong, over), /more than its credit/);
    guest.send(op.signal, over, u32(9, 0));
    await guest.until('its end', (frames) => frames.find((one) => one.id === over && one.op === op.exited));
  });

  test('a process that floods is stopped at its credit and goes on with more', async () => {
    guest.creditBack = false;
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'dd if=/dev/zero bs=64k count=16 2>/dev/null']));
    const size = (): number => guest.frames.filter((one) => one.id === id && one.op === op.stdout).reduce((sum, one) => sum + one.payload.length, 0);
    await guest.until('all its credit used', () => (size() === 256 << 10 ? true : undefined));
    for (let i = 0; i < 5; i++) await guest.ping();
    assert.equal(size(), 256 << 10);
    guest.creditBack = true;
    guest.send(op.credit, id, u32(1, 16 << 20));
    await guest.ended(id);
    assert.equal(size(), 16 * 65536);
  });

  test('a terminal: its size, its name, Ctrl-C, its end', async () => {
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'tty; stty size; read line; echo "got $line"; trap "echo int; stty size; exit 3" INT; echo ready; while :; do sleep 0.05; done'], record(5, u16(24, 80)), record(6)));
    await guest.until('its size', () => guest.output(id).includes('24 80') || undefined);
    assert.match(guest.output(id), /^\/dev\/pts\/\d+\r\n/);
    guest.send(op.stdin, id, Buffer.from('hello\n'));
    await guest.until('ready', () => guest.output(id).includes('ready') || undefined);
    guest.send(op.winsize, id, u16(50, 132));
    guest.send(op.stdin, id, Buffer.from('\x03'));
    const { stdout, status } = await guest.ended(id);
    assert.match(stdout, /got hello\r\n[^]*int\r\n50 132\r\n/);
    assert.equal(status, 3);
  });

  test('twenty processes at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => guest.run(['/bin/sh', '-c', `echo ${index}; exit ${index}`])));
    all.forEach(({ stdout, status }, index) => { assert.equal(stdout, `${index}\n`); assert.equal(status, index); });
  });

  /** A process made but for its program. */
  const awaiting = async (id: number, ...more: Buffer[]): Promise<number> => {
    guest.send(op.spawn, id, program(['passed-over'], record(6), record(15), ...more));
    return (await guest.answer(op.awaiting, id)).payload.readUInt32LE(0);
  };

  test('a process awaits its program: it is nobody\'s until then, holds nothing of others, and becomes what EXECUTE names', async () => {
    const reader = guest.newId();
    await guest.start(reader, program(['cat'], record(6)));
    const id = guest.newId();
    const pid = await awaiting(id, record(4, u32(1000, 1001, 0o27)));
    guest.send(op.stdinClose, reader);
    assert.equal((await guest.ended(reader)).status, 0);
    guest.send(op.ps, 0, u32(9));
    const listed = await guest.answer(op.psReply, 0);
    assert.equal(listed.payload.includes(Buffer.concat([u32(48), u32(pid)])), false);
    assert.equal(listed.payload.includes('pouch-ready'), false);
    guest.frames.splice(guest.frames.indexOf(listed), 1);
    guest.send(op.execute, id, Buffer.concat([record(3, '/etc'), record(1, 'sh'), record(1, '-c'), record(1, 'pwd; id -u; id -g; umask; echo $A; cat'), record(2, 'PATH=/bin'), record(2, 'A=b c'), record(6)]));
    assert.equal((await guest.answer(op.spawned, id)).payload.readUInt32LE(0), pid);
    guest.send(op.stdin, id, Buffer.from('and its input\n'));
    guest.send(op.stdinClose, id);
    assert.deepEqual(await guest.ended(id), { stdout: '/etc\n1000\n1001\n0027\nb c\nand its input\n', stderr: '', status: 0, flags: 0 });
    const without = guest.newId();
    await awaiting(without);
    guest.send(op.execute, without, Buffer.concat([record(1, 'cat'), record(2, 'PATH=/bin')]));
    await guest.answer(op.spawned, without);
    assert.equal((await guest.ended(without)).status, 0);
  });

  test('one that awaits is refused where it could not be exact, and told as not started where it comes to nothing', async () => {
    for (const more of [[record(5, u16(0, 0))], [record(12, Buffer.from([0]))], [record(11, Buffer.alloc(8))]]) await assert.rejects(awaiting(guest.newId(), ...more), refusal(errno.ENOTSUP, /cannot await/));
    const unknown = guest.newId();
    guest.send(op.execute, unknown, record(1, 'true'));
    await assert.rejects(guest.answer(op.spawned, unknown), refusal(errno.ESRCH, /does not await/));
    const lost = guest.newId();
    await awaiting(lost);
    guest.send(op.execute, lost, record(1, 'no-such'));
    await assert.rejects(guest.answer(op.spawned, lost), refusal(errno.ENOENT, /executable file not found/));
    const late = guest.newId();
    await awaiting(late);
    guest.send(op.execute, late, Buffer.concat([record(1, 'true'), record(4, u32(0, 0, 0))]));
    await assert.rejects(guest.answer(op.spawned, late), refusal(errno.ENOTSUP, /known before/));
    for (const id of [late, guest.newId()]) {
      if (id !== late) {
        await awaiting(id);
        guest.send(op.signal, id, u32(9, 0));
      }
      const told = await guest.until('its end', (frames) => frames.find((one) => one.id === id && one.op === op.error && one.payload.readUInt32LE(4) === op.spawn));
      assert.match(told.payload.subarray(8).toString(), /ended while it awaited/);
    }
  });

  test('PS and STATS tell of the container\'s processes, memory, CPU, links and disks', async () => {
    const id = guest.newId();
    const pid = await guest.start(id, program(['/bin/sleep', '1234']));
    guest.send(op.ps, 0, u32(77));
    const { payload } = await guest.answer(op.psReply, 0);
    assert.equal(payload.readUInt32LE(0), 77);
    const found = [];
    for (let at = 4; at < payload.length; at += 8 + payload.readUInt32LE(at + 4)) {
      found.push({ pid: payload.readUInt32LE(at + 8), id: payload.readUInt32LE(at + 20), resident: payload.readBigUInt64LE(at + 40), command: payload.subarray(at + 48, at + 8 + payload.readUInt32LE(at + 4)).toString() });
    }
    const sleeping = found.find((one) => one.id === id);
    assert.equal(sleeping?.command, '/bin/sleep 1234');
    assert.equal(sleeping?.pid, pid);
    assert.ok((sleeping?.resident ?? 0n) > 0n);
    assert.ok(found.some((one) => one.id === 1) && !found.some((one) => one.pid === 1));
    guest.send(op.stats, 0, u32(78));
    const stats = (await guest.answer(op.statsReply, 0)).payload;
    const seen = new Map<number, Buffer>();
    for (let at = 4; at < stats.length; at += 8 + stats.readUInt32LE(at + 4)) seen.set(stats.readUInt16LE(at), stats.subarray(at + 8, at + 8 + stats.readUInt32LE(at + 4)));
    assert.deepEqual([...seen.keys()].sort(), [1, 2, 3, 4, 5]);
    const memory = seen.get(1) ?? Buffer.alloc(32);
    assert.ok(memory.readBigUInt64LE(0) > 100n << 20n && memory.readBigUInt64LE(24) < memory.readBigUInt64LE(0));
    assert.ok((seen.get(2)?.readBigUInt64LE(0) ?? 0n) > 0n);
    assert.ok((seen.get(3)?.readBigUInt64LE(0) ?? 0n) >= 2n);
    assert.equal(seen.get(4)?.subarray(64).toString(), 'eth0');
    assert.ok((seen.get(5)?.readBigUInt64LE(0) ?? 0n) > 0n);
    guest.send(op.signal, id, u32(9, 0));
    await guest.ended(id);
  });

  test('want of memory is told, and the flag is on the process that was killed for it', async () => {
    const { status, flags } = await guest.run(['/bin/sh', '-c', 'echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero']);
    assert.equal(status, 137);
    assert.equal(flags, 1);
    assert.ok(guest.frames.some((one) => one.op === op.oom));
  });

  test('a limit of processes holds for all of the container until it is lifted', async () => {
    const forks = ['/bin/sh', '-c', 'for n in 1 2 3 4 5 6 7 8; do sleep 60 > /dev/null 2>&1 & done; echo all'];
    guest.send(op.update, 0, record(2, u64(5n)));
    await guest.answer(op.updated, 0);
    guest.frames.length = 0;
    const held = await guest.run(forks);
    assert.match(held.stderr, /can't fork/);
    assert.notEqual(held.status, 0);
    guest.send(op.update, 0, record(2, u64(2n ** 64n - 1n)));
    await guest.answer(op.updated, 0);
    guest.frames.length = 0;
    assert.equal((await guest.run(['/bin/sh', '-c', 'killall sleep; for n in 1 2 3 4 5 6 7 8; do sleep 60 > /dev/null 2>&1 & done; echo all; killall sleep'])).stdout, 'all\n');
  });

  test('a memory limit within the machine holds for processes that run and for later ones', async () => {
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'read go; exec tail /dev/zero'], record(6)));
    guest.send(op.update, 0, record(1, u64(24n << 20n)));
    await guest.answer(op.updated, 0);
    guest.frames.length = 0;
    guest.send(op.stdin, id, Buffer.from('go\n'));
    const ended = await guest.ended(id);
    assert.deepEqual([ended.status, ended.flags], [137, 1]);
    const later = await guest.run(['/bin/tail', '/dev/zero']);
    assert.deepEqual([later.status, later.flags], [137, 1]);
    assert.ok(guest.frames.some((one) => one.op === op.oom));
    guest.send(op.update, 0, record(9, u64(1n)));
    assert.match((await guest.answer(op.error, 0)).payload.toString(), /UPDATE: unknown setting 9/);
    guest.frames.length = 0;
  });

  test('a second CONFIGURE, an unknown operation and a payload of the wrong size are refused with a reason', async () => {
    guest.frames.length = 0;
    await assert.rejects(guest.configure(record(5, 'again')), refusal(errno.EALREADY, /configured before/));
    const before = guest.frames.length;
    guest.send(99, 0);
    guest.send(op.signal, 5, u32(1));
    const errors = await guest.until('two refusals', (frames) => { const list = frames.slice(before).filter((one) => one.op === op.error); return list.length === 2 ? list : undefined; });
    assert.match(errors[0]?.payload.toString() ?? '', /operation 99 is not known/);
    assert.match(errors[1]?.payload.toString() ?? '', /operation 7: payload of 4 bytes/);
    guest.frames.length = 0;
  });

  test('after a disconnect within a frame a new connection finds the beginning, and nothing a process said is lost in between', async () => {
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'sleep 0.5; echo later; sleep 1000']));
    guest.raw(Buffer.concat([u32(30_000), Buffer.from([op.stdin, 0, 0, 0]), u32(id), Buffer.alloc(100)]));
    await guest.disconnect();
    await guest.connect();
    await guest.hello();
    await guest.ping();
    await guest.until('what was said meanwhile', () => guest.output(id) === 'later\n' || undefined);
    guest.send(op.signal, id, u32(9, 0));
    await guest.until('its end', (frames) => frames.find((one) => one.id === id && one.op === op.exited));
  });

  test('when the first process ends, so does everything else, and power-off ends the machine', async () => {
    const id = guest.newId();
    await guest.start(id, program(['/bin/sh', '-c', 'sleep 1000 & sleep 1000']));
    guest.send(op.signal, 1, u32(10, 0));
    assert.equal((await guest.ended(1)).status, 7);
    assert.equal((await guest.ended(id)).status, 137);
    await assert.rejects(guest.start(guest.newId(), program(['true'])), refusal(errno.ESRCH, /not running/));
    guest.send(op.poweroff, 0, u32(1000));
    assert.equal(await guest.gone(), true);
  });
});
