// Guest kernels that are really booted: the default one under every profile, and ones that do not come up.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addKernel, hostTscKHz, probeAcceleration, probeProfile, profiles, type Kernel, type KernelStore, type Probe } from '../../../packages/runv/src/machine/index.ts';
import { defaultKernel, provideKernelSource } from '../../../scripts/guest-kernel.ts';
import { guestMissing } from '../../fixtures/guest-boot.ts';
import { ensureNative, until } from '../../fixtures/native.ts';
import { guestInitPath } from '@pouch/native';

const skip = await guestMissing();
const qemu = '/usr/bin/qemu-system-x86_64';

describe('guest kernels', { skip }, () => {
  let directory: string;
  let store: KernelStore;
  let kernel: Kernel;
  let usual: Omit<Probe, 'profile'>;

  before(async () => {
    await ensureNative();
    directory = await mkdtemp(join(tmpdir(), 'pouch-test-kernel-'));
    store = { directory: join(directory, 'kernels'), initPath: guestInitPath };
    kernel = await addKernel(store, await provideKernelSource(defaultKernel, () => undefined));
    usual = { qemu, kernel, acceleration: 'tcg', tscKHz: await hostTscKHz(), timeoutMs: 60_000 };
  });
  after(() => rm(directory, { recursive: true, force: true }));

  for (const profile of profiles) {
    test(`the default kernel comes up under ${profile}`, async () => {
      const verdict = await probeProfile({ ...usual, profile });
      assert.deepEqual({ ok: verdict.ok, lacks: verdict.lacks }, { ok: true, lacks: profile === 'bare' ? ['multiport'] : [] });
      assert.ok(verdict.bootMs !== null && verdict.bootMs > 0);
    });
  }

  test('a kernel that has no init to run says so', async () => {
    const broken = join(directory, 'broken-init');
    await writeFile(broken, 'this is no program');
    const mute = await addKernel({ directory: join(directory, 'broken'), initPath: broken }, { name: 'broken', image: kernel.imagePath });
    const verdict = await probeProfile({ ...usual, kernel: mute, profile: 'modern' });
    assert.equal(verdict.ok, false);
    assert.equal(verdict.bootMs, null);
    assert.match(verdict.lacks[0] ?? '', /^it ended: .*(panic|not syncing)/);
  });

  test('a boot that does not end is ended by the limit', async () => {
    const verdict = await probeProfile({ ...usual, profile: 'modern', timeoutMs: 50 });
    assert.equal(verdict.ok, false);
    assert.match(verdict.lacks[0] ?? '', /^no answer in time/);
  });

  test('a QEMU that refuses its command line is told in its words', async () => {
    const verdict = await probeProfile({ ...usual, kernel: { ...kernel, initrdPath: join(directory, 'missing') }, profile: 'modern' });
    assert.match(verdict.lacks[0] ?? '', /missing/);
  });

  test('QEMU can run as a user without rights', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async () => {
    await chmod(directory, 0o755);
    const verdict = await probeProfile({ ...usual, profile: 'modern', user: { uid: 65534, gid: 65534 } });
    assert.equal(verdict.ok, true, verdict.lacks.join());
  });

  test('a prober that is killed takes its QEMU along', async () => {
    const module = join(import.meta.dirname, '../../../packages/runv/src/machine/index.ts');
    const script = `const { probeBoot } = await import(${JSON.stringify(module)}); await probeBoot(${JSON.stringify({ ...usual, kernel: { ...kernel, initrdPath: kernel.imagePath }, profile: 'modern' })});`;
    const prober = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore', env: { TMPDIR: directory } });
    const machine = await until('its QEMU', () => machines().find((text) => text.startsWith('/usr/bin/qemu')));
    assert.match(machine, /runv-probe/);
    prober.kill('SIGKILL');
    await until('its end', () => (machines().length === 0 ? true : undefined));
  });

  /** Command lines of processes that name this test's kernel. */
  function machines(): string[] {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return text.includes(`\0-kernel\0${kernel.imagePath}`) ? [text] : [];
      } catch {
        return []; // it has ended meanwhile
      }
    });
  }

  test('KVM is believed only when a guest has come up with it, and the verdict is kept', async () => {
    const kept = join(directory, 'verdicts');
    const probe = { qemu, kernel, directory: kept, tscKHz: usual.tscKHz };
    const verdict = await probeAcceleration(probe);
    assert.ok(verdict.acceleration === 'kvm' ? verdict.reason === undefined : (verdict.reason ?? '') !== '');
    const files = await readdir(kept).catch(() => []); // none where there is no /dev/kvm
    if (files.length > 0) await writeFile(join(kept, files[0] as string), '{"acceleration":"tcg","reason":"as kept"}');
    const again = await probeAcceleration(probe);
    assert.deepEqual(again, files.length > 0 ? { acceleration: 'tcg', reason: 'as kept' } : verdict);
  });
});
