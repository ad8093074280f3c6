// One network of a machine and a container under podman, which knows nothing of machines: a machine joins by itself; before others join a machine's, it is told.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { until } from '../../fixtures/native.ts';

/** podman's own are refused to a process that may not raise its limits. */
const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'];
const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const missing = ['podman', 'runc'].find((program) => spawnSync(program, ['--version']).status !== 0);
const skip = process.getuid?.() !== 0 ? 'needs root: cgroups, network namespaces' : missing === undefined ? await guestMissing() : `${missing} is not installed`;

describe('podman: one network of a machine and a container', { skip, timeout: 240_000 }, () => {
  /** Of this test alone, as its name. */
  const network = `runv${process.pid}`;
  let kit: GuestKit;
  let root: string;
  let wrapper: string;
  let tree: string;

  /** `null`: runc. */
  const podman = (runtime: string | null, ...args: readonly string[]): Promise<string> => new Promise((settle, fail) => {
    const at = (name: string): string => join(kit.directory, `podman-${name}`);
    execFile('podman', ['--root', at('root'), '--runroot', at('runroot'), '--tmpdir', at('tmp'), '--network-config-dir', at('net'), '--cgroup-manager', 'cgroupfs', '--events-backend', 'file', '--runtime', runtime ?? 'runc', ...args], { timeout: 60_000 }, (error, out, err) => {
      if (error === null) settle(out.trim());
      else fail(new Error(`podman ${args.join(' ')}: ${err}`));
    });
  });
  const start = async (runtime: string | null, name: string, joined: string, port: number): Promise<string> => await podman(runtime, 'run', '-d', '--name', name, ...limits, '--network', joined, '--rootfs', tree, 'sh', '-c',
    `mkdir -p /tmp/${name} && echo ${name} > /tmp/${name}/index.html && httpd -p ${port} -h /tmp/${name} && exec sleep 1000`);
  const answer = async (address: string, port: number): Promise<string> => {
    try {
      return (await (await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(3_000) })).text()).trim();
    } catch {
      return 'none'; // nobody listens, or not yet
    }
  };
  async function bothAnswer(address: string, names: readonly [string, string]): Promise<void> {
    await until(`${names.join(' and ')} answer`, async () => ((await answer(address, 81)) === names[0] && (await answer(address, 82)) === names[1] ? true : undefined));
  }
  const addressOf = async (name: string): Promise<string> => await podman(null, 'inspect', '--format', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);
  /** By the one name of the other: `asker` fetches from `address`. */
  const ask = async (runtime: string | null, asker: string, address: string, port: number): Promise<string> => (await podman(runtime, 'exec', asker, 'sh', '-c', `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 6 ${address} ${port} | tail -n 1`)).trim();

  before(async () => {
    kit = await GuestKit.make();
    root = join(kit.directory, 'run');
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    await mkdir(root);
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', templates: false, pool: 0, memoryBytes: 192 << 20 }));
    wrapper = join(kit.directory, 'runv-here');
    await writeFile(wrapper, `#!/bin/sh\nexec ${runv} --root ${root} "$@"\n`, { mode: 0o755 });
    tree = await kit.tree();
    await podman(null, 'network', 'create', '--subnet', `10.213.${process.pid % 250}.0/24`, network);
  });
  afterEach(async () => { await podman(null, 'rm', '-f', '-t', '0', '--depend', '--ignore', 'plain', 'machine'); });
  after(async () => {
    if (kit === undefined) return;
    await podman(null, 'network', 'rm', '-f', network).catch(() => undefined); // it may not have been made
    // CNI's plugin keeps the last address of a network that is gone.
    await rm(join('/var/lib/cni/networks', network), { recursive: true, force: true });
    await kit.remove();
  });

  test('a machine joins a container', async () => {
    await start(null, 'plain', network, 81);
    const address = await addressOf('plain');
    await start(wrapper, 'machine', 'container:plain', 82);
    await bothAnswer(address, ['plain', 'machine']);
    assert.deepEqual([await ask(wrapper, 'machine', address, 81), await ask(null, 'plain', address, 82)], ['plain', 'machine'], 'by the address each reaches the other');
    await assert.rejects(start(wrapper, 'second', 'container:plain', 83), /network namespace is that of another virtual machine/);
  });

  test('a container joins a machine that has been told by share-network', async () => {
    const id = await start(wrapper, 'machine', network, 81);
    const address = await addressOf('machine');
    await until('the machine answers', async () => ((await answer(address, 81)) === 'machine' ? true : undefined));
    assert.equal(spawnSync(wrapper, ['share-network', id]).status, 0);
    await start(null, 'plain', 'container:machine', 82);
    await bothAnswer(address, ['machine', 'plain']);
    assert.deepEqual([await ask(wrapper, 'machine', address, 82), await ask(null, 'plain', address, 81)], ['plain', 'machine'], 'by the address each reaches the other');
  });
});
