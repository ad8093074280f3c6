// Clones of a template: alive in a fraction of a boot, with their own disks, and sharing nothing that has to be their own.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { cloneOf, findTemplate, hostTscKHz, makeTemplate, qemuCommand, stateFd, sweepTemplates, wakeClone, type Machine, type TemplatableMachine, type Template } from '../../../packages/runv/src/machine/index.ts';
import { provideScratch } from '../../../packages/runv/src/rootfs/scratch.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { Guest, program, record, u64, usualMounts } from '../../fixtures/guest.ts';

const skip = await guestMissing();
const layerBytes = 64 * 2 ** 30;

describe('templates', { skip }, () => {
  let kit: GuestKit;
  let templates: string;
  let root: string;
  let tscKHz: number;

  before(async () => {
    kit = await GuestKit.make();
    templates = join(kit.directory, 'templates');
    tscKHz = await hostTscKHz();
    root = await kit.root({ 'etc/layer': 'the root' });
    await truncate(root, layerBytes);
  });
  after(async () => { await kit?.remove(); });

  async function machine(more: Partial<Machine> = {}): Promise<TemplatableMachine> {
    const place = await mkdtemp(join(kit.directory, 'm-'));
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    return {
      qemu: '/usr/bin/qemu-system-x86_64', profile: 'modern', acceleration: 'tcg', memoryBytes: 192 << 20, vcpus: 1, tscKHz, shares: [],
      disks: [{ id: 'layer0', path: root, readOnly: true }, { id: 'scratch', path: await provideScratch(join(place, 'scratch.img'), join(kit.directory, 'images'), owner), readOnly: false }],
      controlPath: join(place, 'control.sock'), qmpPath: join(place, 'qmp.sock'), consolePath: join(place, 'console.log'), name: 'test', ...more, kernel: kit.kernel,
    };
  }

  async function start(t: TestContext, wanted: TemplatableMachine, template: Template): Promise<Guest> {
    const command = ['/bin/bash', '-c', `exec ${stateFd}<"$0"; exec "$@"`, template.statePath, ...qemuCommand(cloneOf(wanted, template))];
    const [guest] = await Promise.all([Guest.boot(command, join(wanted.controlPath, '..')), wakeClone(wanted.qmpPath, 60_000)]);
    t.after(() => guest.close());
    return guest;
  }

  async function configure(guest: Guest, machineId: Buffer, hostname: string): Promise<void> {
    await guest.configure(record(1, u64(BigInt(Date.now()) * 1_000_000n), randomBytes(32)), ...usualMounts('/dev/vdb'), record(5, hostname), record(16, machineId));
    await guest.start(1, program(['/bin/sleep', '1000']));
  }

  test('two clones run at once, each with its own disks, clock and secrets', async (t) => {
    const [one, two] = [await machine(), await machine()];
    const template = await makeTemplate(templates, one);
    assert.deepEqual(await findTemplate(templates, two), template);
    const before = await stat(template.memoryPath);
    const [first, second] = await Promise.all([start(t, one, template), start(t, two, template)]);
    await configure(first, Buffer.alloc(16, 1), 'one');
    await configure(second, Buffer.alloc(16, 2), 'two');
    const seen = await Promise.all([first, second].map(async (guest) => {
      assert.equal(await guest.shell('cat /etc/layer'), 'the root');
      await guest.shell('hostname > /root/who');
      assert.ok(Math.abs(Number(await guest.shell('date +%s')) - Date.now() / 1000) < 30);
      return (await guest.shell('head -c 16 /dev/urandom | od -An -tx1; cat /etc/machine-id /proc/sys/kernel/random/uuid; hostname')).split('\n');
    }));
    for (const [index, value] of (seen[0] ?? []).entries()) if (value !== '') assert.notEqual(value, seen[1]?.[index]);
    assert.deepEqual(await Promise.all([first, second].map((guest) => guest.shell('cat /root/who'))), ['one\n', 'two\n']);
    assert.equal((await stat(template.memoryPath)).ctimeMs, before.ctimeMs, 'clones do not write to the template');
  });

  test('another shape has another template; made by several at once it is made once', async () => {
    const small = await machine();
    const bigger = { ...small, memoryBytes: 224 << 20 };
    assert.equal(await findTemplate(templates, bigger), undefined);
    const made = await Promise.all([makeTemplate(templates, bigger), makeTemplate(templates, bigger)]);
    assert.deepEqual(made[0], made[1]);
    assert.deepEqual((await readdir(join(made[0].memoryPath, '..'))).sort(), ['memory', 'state', 'template.json']);
    assert.notEqual((await makeTemplate(templates, small)).memoryPath, made[0].memoryPath);
  });

  test('a template that was written to is not used again', async () => {
    const wanted = await machine();
    const { memoryPath, statePath } = await makeTemplate(templates, wanted);
    await writeFile(memoryPath, 'x', { flag: 'r+' });
    assert.equal(await findTemplate(templates, wanted), undefined);
    await makeTemplate(templates, wanted);
    const state = await readFile(statePath);
    await writeFile(statePath, state.subarray(0, -1));
    assert.equal(await findTemplate(templates, wanted), undefined);
  });

  test('what cannot be moved has no template', async () => {
    const shared = await machine({ shares: [{ tag: 'a', directory: '/', socketPath: '/none' }] });
    assert.equal(await findTemplate(templates, shared), undefined);
    await assert.rejects(makeTemplate(templates, shared), TypeError);
    assert.equal(await findTemplate(templates, await machine({ profile: 'bare', disks: [] })), undefined);
  });

  test('a template whose guest does not come up leaves nothing behind', async () => {
    const directory = join(kit.directory, 'failing');
    const wanted = await machine();
    await assert.rejects(makeTemplate(directory, wanted, { bootTimeoutMs: 50 }), { code: 'bad-kernel', message: /did not come up/ });
    assert.deepEqual(await readdir(directory), []);
  });

  test('the sweep keeps those used last', async () => {
    const directory = join(kit.directory, 'swept');
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      await mkdir(join(directory, name.repeat(32)), { recursive: true });
      await utimes(join(directory, name.repeat(32)), index, index);
    }
    assert.equal(await sweepTemplates(directory, 2), 1);
    assert.deepEqual((await readdir(directory)).map((name) => name[0]), ['b', 'c']);
  });
});
