// bin/runv as a runtime of Docker Engine (`dockerd --add-runtime`): a dockerd of the test's own, with its own data, sockets and network namespace.
// It must not touch a Docker that is there already, nor the host's firewall.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { removeCgroups, unmountBelow } from '../../../scripts/cluster/leftovers.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { until } from '../../fixtures/native.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const missing = ['dockerd', 'docker', 'containerd', 'ip', 'nsenter'].filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
const skip = process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `not installed: ${missing.join(', ')}` : await guestMissing();

interface Done { readonly code: number; readonly out: string; readonly err: string }

const command = (program: string, args: readonly string[]): Promise<Done> => new Promise((settle) => {
  execFile(program, [...args], { timeout: 120_000 }, (error, out, err) => settle({ code: error === null ? 0 : Number(error.code ?? 255), out, err }));
});

describe('runv under Docker Engine', { skip, timeout: 300_000 }, () => {
  const tag = `pouch-test-${randomBytes(4).toString('hex')}`;
  let kit: GuestKit;
  let engine: ChildProcess | undefined;
  let socket = '';

  before(async () => {
    kit = await GuestKit.make();
    await chmod(kit.directory, 0o755);
    await chmod(join(kit.directory, 'kernels'), 0o755);
    const at = (name: string): string => join(kit.directory, name);
    socket = at('d.sock');
    await mkdir(at('run'));
    // Docker puts its namespace behind the root that it gives, so the settings stand in a wrapper's own.
    await writeFile(at('runv.json'), JSON.stringify({ kernelDir: at('kernels'), layerDir: at('layers'), templateDir: join(at('templates'), 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', templates: false, memoryBytes: 192 << 20 }));
    await writeFile(at('runv'), `#!/bin/sh\n[ "$1" = --root ] && mkdir -p "$2" && cp ${at('runv.json')} "$2/runv.json" && chmod 644 "$2/runv.json"\nexec ${runv} "$@"\n`, { mode: 0o755 });
    await writeFile(at('daemon.json'), '{}');
    assert.equal((await command('ip', ['netns', 'add', tag])).code, 0);
    const log = openSync(at('dockerd.log'), 'w');
    engine = spawn('nsenter', [`--net=/run/netns/${tag}`, 'dockerd', '--config-file', at('daemon.json'), '--data-root', at('data'), '--exec-root', at('x'), '--pidfile', at('d.pid'), '--host', `unix://${socket}`,
      '--iptables=false', '--bridge=none', '--cgroup-parent', `/${tag}`, '--add-runtime', `runv=${at('runv')}`, '--log-level', 'warn'], { stdio: ['ignore', log, log] });
    closeSync(log);
    await until('dockerd answers', async () => {
      if (engine?.exitCode !== null) throw new Error(`dockerd ended:\n${(await readFile(at('dockerd.log'), 'utf8')).slice(-2_000)}`);
      return (await docker('info')).code === 0 ? true : undefined;
    });
    await writeFile(at('busybox.tar'), await dockerArchive([await busyboxImage()]));
    const loaded = await docker('load', '-i', at('busybox.tar'));
    assert.equal(loaded.code, 0, loaded.err);
  });
  after(async () => {
    if (engine?.exitCode === null) {
      const left = (await docker('ps', '-aq')).out.split('\n').filter((id) => id !== '');
      if (left.length > 0) await docker('rm', '-f', ...left);
      const ended = once(engine, 'exit');
      engine.kill('SIGTERM');
      await ended;
    }
    await command('ip', ['netns', 'delete', tag]);
    if (kit !== undefined) await unmountBelow([kit.directory]);
    await removeCgroups(tag);
    await kit?.remove();
  });

  const docker = (...args: readonly string[]): Promise<Done> => command('docker', ['-H', `unix://${socket}`, ...args]);

  test('run, exec, stop: another kernel, output, exit codes', async () => {
    const run = await docker('run', '--rm', '--runtime', 'runv', '--network', 'none', 'busybox', 'sh', '-c', 'uname -r; echo no >&2; exit 3');
    assert.deepEqual([run.code, run.out.trim(), run.err], [3, kit.kernel.release, 'no\n']);
    const started = await docker('run', '-d', '--name', 'vm', '--runtime', 'runv', '--network', 'none', 'busybox', 'sh', '-c', 'trap "exit 5" TERM; while :; do sleep 1; done');
    assert.equal(started.code, 0, started.err);
    const exec = await docker('exec', 'vm', 'sh', '-c', 'uname -r; exit 4');
    assert.deepEqual([exec.code, exec.out.trim()], [4, kit.kernel.release], exec.err);
    assert.equal((await docker('stop', 'vm')).code, 0);
    assert.equal((await docker('inspect', '-f', '{{.State.ExitCode}}', 'vm')).out.trim(), '5');
    assert.equal((await docker('rm', 'vm')).code, 0);
  });
});
