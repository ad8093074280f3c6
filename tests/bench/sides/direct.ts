// containerd driven directly through @pouch/containerd: an instance of its own, with the spec, the runtime and the log writer that Pouch's agent
// gives a container, and nothing of an API, a log or an agent. The steps go one after the other, as an ordinary client of containerd does them.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { load, runcOptionsAny, type Any, type Containerd } from '@pouch/containerd';
import { logWriterUri } from '@pouch/native';
import { stringifySpec } from '@pouch/oci';
import { buildNative } from '../../../scripts/build-native.ts';
import { removeCgroups } from '../../../scripts/cluster/leftovers.ts';
import { startContainerd } from '../../fixtures/containerd.ts';
import type { Session } from '../session.ts';
import { busyboxArchive, imageName, newId, specMaker, type SpecMaker } from './workload.ts';

const specType = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';
/** As the agent keeps a snapshot that nothing refers to yet. */
const kept = { 'containerd.io/gc.root': 'bench' };
const logMaxBytes = 20 << 20;

export class Direct {
  readonly containerd: Containerd;
  readonly #directory: string;
  readonly #chainId: string;
  readonly #specs: SpecMaker;
  readonly #runtime: { readonly name: string; readonly options: Any };

  private constructor(containerd: Containerd, directory: string, chainId: string, specs: SpecMaker, runc: string) {
    this.containerd = containerd;
    this.#directory = directory;
    this.#chainId = chainId;
    this.#specs = specs;
    this.#runtime = { name: 'io.containerd.runc.v2', options: runcOptionsAny({ binaryName: runc, root: join(directory, 'runc') }) };
  }

  static async start(session: Session, runc: string): Promise<Direct> {
    await buildNative();
    const parent = `pouch-bench-${newId().slice(0, 8)}`;
    const directory = await session.directory('direct');
    session.undo('control groups', () => removeCgroups(parent));
    const fixture = await startContainerd({ namespace: 'bench' });
    session.undo('containerd', () => fixture.stop());
    const [image] = await load(fixture.client, Readable.from([await busyboxArchive()]));
    if (image === undefined) throw new Error('the archive holds no image');
    return new Direct(fixture.client, directory, image.chainId, await specMaker(directory, parent), runc);
  }

  /** Prepare, container, task create, wait, start, the wait's answer, task delete, container and snapshot delete. Milliseconds by step. */
  async lifecycle(args: readonly string[]): Promise<Record<string, number>> {
    const { containers, snapshots, tasks } = this.containerd;
    const id = newId();
    const log = join(this.#directory, id);
    const began = performance.now();
    await mkdir(log);
    const rootfs = await snapshots.prepare(id, this.#chainId, { labels: kept });
    const spec = { type_url: specType, value: Buffer.from(stringifySpec(this.#specs({ id, args, rootfsPath: 'rootfs' }))) };
    await containers.create({ id, image: imageName, runtime: this.#runtime, spec, snapshotter: snapshots.snapshotter, snapshotKey: id });
    const created = performance.now();
    const stdio = logWriterUri({ dir: log, startId: id, maxSizeBytes: logMaxBytes, maxFiles: 1 });
    await tasks.create({ containerId: id, rootfs, stdout: stdio, stderr: stdio });
    const made = performance.now();
    const waiting = tasks.wait(id);
    await tasks.start(id);
    const started = performance.now();
    const { exitStatus } = await waiting;
    const ended = performance.now();
    await tasks.delete(id);
    const taken = performance.now();
    await containers.delete(id);
    await snapshots.remove(id);
    await rm(log, { recursive: true });
    const removed = performance.now();
    if (exitStatus !== 0) throw new Error(`the container ended with ${exitStatus}`);
    return { create: created - began, taskCreate: made - created, taskStart: started - made, wait: ended - started, taskDelete: taken - ended, remove: removed - taken, total: removed - began };
  }

  /** A container that runs; ended with the session. Answers its id. */
  async run(args: readonly string[]): Promise<string> {
    const { containers, snapshots, tasks } = this.containerd;
    const id = newId();
    const rootfs = await snapshots.prepare(id, this.#chainId, { labels: kept });
    const spec = { type_url: specType, value: Buffer.from(stringifySpec(this.#specs({ id, args, rootfsPath: 'rootfs' }))) };
    await containers.create({ id, image: imageName, runtime: this.#runtime, spec, snapshotter: snapshots.snapshotter, snapshotKey: id });
    await tasks.create({ containerId: id, rootfs });
    await tasks.start(id);
    return id;
  }

  /** A further process without stdio: exec, wait, start, the wait's answer, delete. Milliseconds. */
  async exec(containerId: string, args: readonly string[]): Promise<Record<string, number>> {
    const { tasks } = this.containerd;
    const execId = newId();
    const { process } = this.#specs({ id: containerId, args, rootfsPath: 'rootfs' });
    // 2⁶⁴−1, an unlimited one, is more than JSON.stringify writes; an exec has the container's limits anyway.
    const { rlimits: _, ...plain } = process;
    const began = performance.now();
    await tasks.exec({ containerId, execId, process: plain });
    const waiting = tasks.wait(containerId, { execId });
    await tasks.startExec(containerId, execId);
    const { exitStatus } = await waiting;
    await tasks.deleteProcess(containerId, execId);
    const total = performance.now() - began;
    if (exitStatus !== 0) throw new Error(`the exec ended with ${exitStatus}`);
    return { total };
  }
}
