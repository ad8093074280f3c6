// Containers that are virtual machines, through a whole cluster by `pouch` and by docker: life, exec, terminals, output, what they are refused, and
// kernels of the catalogue. A cluster and a store of kernels of its own.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { defaultKernel, provideKernelSource } from '../../../scripts/guest-kernel.ts';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { guestMissing } from '../../fixtures/guest-boot.ts';
import { Clients, eventually, pouchProgram, unavailable } from '../clients/clients.ts';
import { inTerminal } from '../clients/terminal.ts';

const skip = unavailable() || (await guestMissing());
let on: Clients;
/** Release of the guest's kernel, as the store says. */
let release = '';

before(async () => {
  if (skip !== false) return;
  on = new Clients(await startTestCluster({ machines: true, env: { POUCH_PROBE_KERNEL: 'true' } }));
  const known = JSON.parse((await on.http('GET', '/cluster/kernels')).text) as { kernels: { name: string; release: string | null }[] };
  release = known.kernels.find(({ name }) => name === defaultKernel)?.release ?? '';
});
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

describe('a container with a kernel of its own', { skip, timeout: 600_000 }, () => {
  test('run prints output and ends with the exit code; input; its kernel is not the host’s', async () => {
    assert.equal(await on.p('run', '--rm', '--runtime', 'runv', 'busybox', 'uname', '-r'), release);
    assert.deepEqual(await on.tryPouch(['run', '--rm', '--runtime', 'runv', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 7']), { code: 7, stdout: 'out\n', stderr: 'err\n' });
    assert.deepEqual(await on.tryPouch(['run', '-i', '--rm', '--runtime', 'runv', '--network', 'none', 'busybox', 'wc', '-c'], 'x'.repeat(300_000)), { code: 0, stdout: '300000\n', stderr: '' });
  });

  test('life, exec, top, logs and console; what it wrote survives stop and start', async () => {
    await on.p('run', '-d', '--name', 'vm', '--runtime', 'runv', 'busybox', 'sh', '-c', 'echo began; trap "exit 5" TERM; while :; do sleep 1; done');
    await eventually('its output is there', async () => (await on.p('logs', 'vm')) === 'began');
    assert.match(await on.p('ps'), /vm .* runv/);
    const exec = await on.tryPouch(['exec', 'vm', 'sh', '-c', 'uname -r; echo kept > /kept; exit 3']);
    assert.deepEqual([exec.code, exec.stdout], [3, `${release}\n`]);
    assert.match(await on.p('top', 'vm'), /^UID +PID[^]*trap/);
    assert.notEqual((await on.tryPouch(['top', 'vm', '-o', 'wchan'])).code, 0);
    const [used = '', memory = ''] = (await on.p('stats', '--no-stream', '--format', '{{.PIDs}} {{.MemUsage}}', 'vm')).split(/ (.*)/);
    assert.ok(Number(used) >= 1 && Number(used) < 10, `${used} processes of the guest`);
    assert.match(memory, /^[1-9][\d.]*MiB \/ 256MiB$/, 'the guest’s view: not the memory of QEMU');
    await on.p('pause', 'vm');
    assert.match(await on.p('stats', '--no-stream', '--format', '{{.CPUPerc}} {{.MemUsage}}', 'vm'), /^0\.00% .* \/ 256MiB$/, 'one that stands still uses what it used last');
    await on.p('unpause', 'vm');
    await on.p('stop', 'vm');
    assert.equal(await on.p('inspect', '-f', '{{.State.ExitCode}}', 'vm'), '5');
    assert.equal((await on.tryPouch(['logs', '--console', 'vm'])).code, 0, 'the console of the last run is kept, quiet as it was');
    await on.p('start', 'vm');
    assert.equal(await on.p('exec', 'vm', 'cat', '/kept'), 'kept');
    const size = async (): Promise<number> => (JSON.parse((await on.http('GET', '/containers/vm/json?size=true')).text) as { SizeRw: number }).SizeRw;
    const before = await size();
    await on.p('exec', 'vm', 'sh', '-c', 'dd if=/dev/urandom of=/grown bs=1M count=4 2>/dev/null; sync');
    assert.ok((await size()) >= before + 4 * 2 ** 20, 'what it writes counts');
    await on.p('kill', 'vm');
    await eventually('it has ended', async () => (await on.p('inspect', '-f', '{{.State.ExitCode}}', 'vm')) === '137');
    await on.p('rm', 'vm');
  });

  test('an image that refuses the kernel as too old is told as such', async () => {
    await on.tryPouch(['run', '--name', 'old', '--runtime', 'runv', 'busybox', 'sh', '-c', 'echo "FATAL: kernel too old" >&2; exit 127']);
    assert.match(await on.p('inspect', '-f', '{{.State.ExitCode}} {{.State.Error}}', 'old'), new RegExp(`^127 the image needs a newer kernel than the guest kernel ${defaultKernel} \\(${release.replaceAll('.', '\\.')}`));
    await on.tryPouch(['start', '-a', 'old']);
    await on.p('rm', 'old');
    await on.tryPouch(['run', '--name', 'other', '--runtime', 'runv', 'busybox', 'sh', '-c', 'exit 127']);
    assert.equal(await on.p('inspect', '-f', '{{.State.ExitCode}}:{{.State.Error}}', 'other'), '127:');
    await on.p('rm', 'other');
  });

  test('create and start -i as in the transcripts, with a terminal', { skip: unavailable('script') }, async () => {
    await on.p('create', '--name', 'hypervisor', '--runtime', 'runv', 'docker.io/library/busybox:latest');
    const terminal = inTerminal(on, [pouchProgram, '-H', `unix://${on.cluster.socket}`, 'start', 'hypervisor', '-i'], { rows: 33, columns: 91 });
    await terminal.prompt();
    terminal.type('stty size; uname -r\n');
    await terminal.printed('33 91');
    await terminal.printed(release);
    terminal.type('exit 3\n');
    assert.equal(await terminal.exitCode(), 3);
    await on.p('rm', 'hypervisor');
  });

  test('what it cannot have is refused by name; info and hosts tell how machines run', async () => {
    for (const [flags, why] of [[['--network', 'host'], /NetworkMode.*network stack of its own/], [['--privileged'], /Privileged/], [['--device', '/dev/null'], /Devices/], [['--kernel', 'nosuch'], new RegExp(`there is no guest kernel "nosuch"; there are ${defaultKernel}`)]] as const) {
      const { code, stderr } = await on.tryPouch(['create', '--runtime', 'runv', ...flags, 'busybox', 'true']);
      assert.notEqual(code, 0);
      assert.match(stderr, why);
    }
    await eventually('the acceleration is known', async () => /^(?:kvm|tcg)/.test(await on.p('cluster', 'hosts', '--format', '{{.Machines}}')));
    await eventually('what the default kernel can is known', async () => new RegExp(`^${defaultKernel} modern\\S*classic`).test(await on.p('kernel', 'ls', '--format', '{{.Name}} {{.Profiles}}')));
    const software = (await on.p('cluster', 'hosts', '--format', '{{.Machines}}')).startsWith('tcg');
    assert.equal(/software emulation/.test(await on.p('info', '--format', '{{json .Warnings}}')), software);
  });

  test('docker runs, execs and reads it', { skip: unavailable('docker') }, async () => {
    assert.equal(await on.d('run', '--rm', '--runtime', 'runv', 'busybox', 'uname', '-r'), release);
    await on.d('run', '-d', '--name', 'dvm', '--runtime', 'runv', 'busybox', 'sh', '-c', 'echo began; sleep 1000');
    assert.equal(await on.d('exec', 'dvm', 'uname', '-r'), release);
    await eventually('its output is there', async () => (await on.d('logs', 'dvm')) === 'began');
    assert.match(await on.d('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}} {{.NetIO}}', 'dvm'), /^dvm [1-9][\d.]*MiB \/ 256MiB [1-9]/);
    await on.d('rm', '-f', 'dvm');
  });

  test('another kernel, forced into each profile', async (t) => {
    let source;
    try {
      source = await provideKernelSource('debian-5.10-cloud', () => undefined);
    } catch (error) {
      return t.skip(error instanceof Error ? error.message : String(error));
    }
    await on.p('kernel', 'add', 'older', '--no-probe', '-q', '--image', source.image, '--modules', source.modulesDir);
    for (const profile of ['modern', 'classic', 'bare']) {
      assert.match(await on.p('run', '--rm', '--kernel', 'older', '--annotation', `io.pouch.profile=${profile}`, 'busybox', 'uname', '-r'), /^5\.10\./, profile);
    }
    await on.p('kernel', 'rm', 'older');
  });

  test('a kernel of the catalogue reaches the host when a container needs it, is kept while used, and goes from the host too', async () => {
    const { image, modulesDir } = await provideKernelSource(defaultKernel, () => undefined);
    await on.p('kernel', 'add', 'another', '--no-probe', '-q', '--image', image, '--modules', modulesDir);
    assert.match(await on.p('kernel', 'ls'), /another .*not booted yet/);
    await on.p('create', '--name', 'vm2', '--kernel', 'another', 'busybox', 'uname', '-r');
    assert.equal(await on.p('start', '-a', 'vm2'), release);
    assert.match(await on.p('kernel', 'ls', '--format', '{{.Name}} {{.Profiles}} {{.Hosts}}'), /another modern\S* test-host/);
    const used = await on.tryPouch(['kernel', 'rm', 'another']);
    assert.notEqual(used.code, 0);
    assert.match(used.stderr, /is used by vm2/);
    await on.p('rm', 'vm2');
    // One that panics: the reason is in the error, the whole of its console is kept.
    await writeFile(join(on.cluster.directory, 'k', 'kernels', 'another', 'initrd'), 'no initramfs');
    await on.p('create', '--name', 'vm3', '--memory', '200m', '--kernel', 'another', 'busybox', 'true');
    assert.match((await on.tryPouch(['start', 'vm3'])).stderr, /Kernel panic - not syncing/);
    assert.match(await on.p('inspect', '-f', '{{.State.Error}}', 'vm3'), /Kernel panic - not syncing/);
    assert.match(await on.p('logs', '--console', 'vm3'), /Kernel panic[^]*Call Trace/);
    await on.p('rm', 'vm3');
    await on.p('kernel', 'rm', 'another');
    assert.equal(await on.p('kernel', 'ls', '-q'), defaultKernel);
  });
});
