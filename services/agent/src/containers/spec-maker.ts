// TEMPORARY until @pouch/oci is there.
import { mkdir, writeFile } from 'node:fs/promises';
import { runcOptionsAny, type Any, type Containerd } from '@pouch/containerd';
import type { Container, ExecSpec, NetworkAttachment } from '@pouch/domain';
import type { SysHelper } from '@pouch/native';
import type { AgentConfig } from '../config.ts';
import type { NetworkRoom } from '../rooms.ts';
import type { Layout } from './layout.ts';

export type NetworkOfSpec = { readonly kind: 'new' } | { readonly kind: 'host' } | { readonly kind: 'prepared'; readonly path: string } | { readonly kind: 'container'; readonly path: string };

export class SpecMaker {
  readonly #deps: { config: AgentConfig; containerd: Containerd; layout: Layout; sys: SysHelper; network: NetworkRoom };
  readonly #written = new Map<string, string>();
  constructor(deps: { config: AgentConfig; containerd: Containerd; layout: Layout; sys: SysHelper; network: NetworkRoom }) { this.#deps = deps; }
  async writeFiles(c: Container, _a: NetworkAttachment | null): Promise<void> { await writeFile(this.#deps.layout.generated(c.id).hostsPath, ''); }
  async make({ id, spec }: Container, o: { layers: readonly string[]; network: NetworkOfSpec }): Promise<{ text: string }> {
    const caps = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID'];
    const process = { terminal: spec.tty, user: { uid: 0, gid: 0 }, args: [...spec.entrypoint, ...spec.cmd], env: spec.env, cwd: '/', capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] }, noNewPrivileges: false };
    const namespaces = ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })) as object[];
    if (o.network.kind === 'new') namespaces.push({ type: 'network' });
    else if (o.network.kind !== 'host') namespaces.push({ type: 'network', path: o.network.path });
    const memory = spec.resources.memoryBytes === null ? {} : { memory: { limit: spec.resources.memoryBytes } };
    return { text: JSON.stringify({ ociVersion: '1.0.2', process, root: { path: 'rootfs', readonly: false }, hostname: spec.hostname, mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: [] }, { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] }, { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] },
    ], linux: { namespaces, cgroupsPath: `/${this.#deps.config.cgroupParent}/${id}`, resources: { devices: [{ allow: true, access: 'rwm' }], ...memory } } }) };
  }
  networkAtCreate(c: Container): NetworkOfSpec { return c.spec.network.mode === 'host' ? { kind: 'host' } : { kind: 'new' }; }
  runtime(name: string): { name: string; options?: Any | null } {
    const path = this.#deps.config.runtimes.find((one) => one.name === name)?.path ?? name;
    return { name: 'io.containerd.runc.v2', options: runcOptionsAny({ binaryName: path, root: this.#deps.layout.runtimeState(name) }) };
  }
  any(text: string): Any { return { type_url: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from(text) }; }
  written(id: string, text: string): void { this.#written.set(id, text); }
  forget(id: string): void { this.#written.delete(id); }
  async ensureWritten(id: string, text: string): Promise<void> {
    if (this.#written.get(id) === text) return;
    await this.#deps.containerd.containers.updateSpec(id, this.any(text));
    this.#written.set(id, text);
  }
  async process(c: Container, spec: ExecSpec, _size: { rows: number; columns: number } | null): Promise<object> {
    await mkdir(this.#deps.layout.container(c.id), { recursive: true });
    const caps = ['CAP_CHOWN', 'CAP_KILL'];
    return { terminal: spec.tty, user: { uid: 0, gid: 0 }, args: spec.args, env: [...c.spec.env, ...spec.env], cwd: '/', capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] }, noNewPrivileges: false };
  }
}
