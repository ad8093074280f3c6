// Makes the OCI specs of containers and the processes of execs, and remembers which spec containerd has of each container.
import { runcOptionsAny, type Any, type Containerd } from '@pouch/containerd';
import type { Container, ExecSpec, NetworkAttachment } from '@pouch/domain';
import { initPath } from '@pouch/native';
import { buildProcess, buildSpec, readHostDevices, readHostFacts, resolveDevices, resolveUser, stringifySpec, type HostFacts, type Outcome, type ResolvedUser, type SpecInput } from '@pouch/oci';
import type { Logger } from '@pouch/process';
import type { AgentConfig } from '../config.ts';
import type { Secrets } from '../secrets/secrets.ts';
import type { Volumes } from '../volumes/volumes.ts';
import { makeSources } from './bind-sources.ts';
import { EtcFiles } from './etc-files.ts';
import { ImpossibleError } from './failures.ts';
import { hasAny, hasLinks, readInLayers } from './layered-files.ts';
import type { Layout } from './layout.ts';
import type { Rootfs } from './rootfs.ts';
import { execInput, specInput } from './spec-input.ts';

export type NetworkOfSpec = NonNullable<NonNullable<SpecInput['namespaces']>['network']>;

export interface SpecMakerDeps {
  readonly config: AgentConfig;
  readonly containerd: Containerd;
  readonly layout: Layout;
  readonly rootfs: Rootfs;
  readonly logger: Logger;
  readonly secrets: Pick<Secrets, 'mounts'>;
  readonly volumes: Pick<Volumes, 'path'>;
  /** Of the network's room, where a container's namespace will be and how the host is reached from it. */
  readonly network: { gateway(): string | null; namespacePath(containerId: string): string };
}

const userFiles = ['etc/passwd', 'etc/group'];
const maxUsers = 512;
const runtimeSpecType = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';
/** Not in TypeScript's library yet: a number that JSON.stringify writes as it stands. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

export class SpecMaker {
  readonly #deps: SpecMakerDeps;
  readonly #host: HostFacts = readHostFacts();
  readonly #files: EtcFiles;
  /** Text of the spec that containerd has of a container, where this process wrote it. */
  readonly #written = new Map<string, string>();
  /** By image layers and what was asked. */
  readonly #users = new Map<string, ResolvedUser>();

  constructor(deps: SpecMakerDeps) {
    this.#deps = deps;
    this.#files = new EtcFiles(deps.layout, () => deps.network.gateway());
  }

  /** The generated files; `attachment` null while there is no network yet. */
  async writeFiles(container: Container, attachment: NetworkAttachment | null): Promise<void> {
    await this.#files.write(container, attachment);
  }

  /** The spec as JSON. Fails with ImpossibleError and Docker's words where a setting cannot be. */
  async make(container: Container, { layers, network }: { readonly layers: readonly string[]; readonly network: NetworkOfSpec }): Promise<{ readonly text: string }> {
    const { id, spec } = container;
    await makeSources(spec);
    const [user, devices, hostDevices] = await Promise.all([
      this.#user(layers, spec.user, spec.groupAdd), resolveDevices(spec.devices).then((outcome) => orThrow(outcome).devices), spec.privileged ? readHostDevices() : [],
    ]);
    const owner = spec.network.mode === 'container' ? spec.network.containerId : id;
    const input = specInput(container, {
      user, devices, hostDevices, secrets: this.#deps.secrets.mounts(id, spec), volumePath: (name) => this.#deps.volumes.path(container, name), generatedFiles: this.#deps.layout.generated(owner), network, initPath, cgroupsPath: `/${this.#deps.config.cgroupParent}/${id}`,
    });
    const { spec: made, warnings } = orThrow(buildSpec(input, this.#host));
    for (const warning of warnings) this.#deps.logger.warn({ containerId: id, warning }, 'a setting was fitted to the host');
    return { text: stringifySpec(made) };
  }

  /** What can be said of the network before the start; where it cannot, the start writes the spec again. */
  networkAtCreate({ id, spec }: Container): NetworkOfSpec {
    if (spec.network.mode === 'host') return { kind: 'host' };
    return spec.network.mode === 'bridge' ? { kind: 'prepared', path: this.#deps.network.namespacePath(id) } : { kind: 'new' };
  }

  /** The runtime as containerd is told: a shim by its name, or the shim for OCI runtimes with the runtime's path. */
  runtime(name: string): { readonly name: string; readonly options?: Any } {
    const path = this.#deps.config.runtimes.find((runtime) => runtime.name === name)?.path ?? name;
    if (/^io\.containerd\./.test(path) || (path.startsWith('/') && /\/containerd-shim-[^/]+$/.test(path))) return { name: path };
    return { name: this.#deps.config.shim, options: runcOptionsAny({ binaryName: path, root: this.#deps.layout.runtimeState(name) }) };
  }

  any(text: string): Any {
    return { type_url: runtimeSpecType, value: Buffer.from(text) };
  }

  written(id: string, text: string): void {
    this.#written.set(id, text);
  }

  /** Lets containerd have this spec, unless it has it. */
  async ensureWritten(id: string, text: string): Promise<void> {
    if (this.#written.get(id) === text) return;
    await this.#deps.containerd.containers.updateSpec(id, this.any(text));
    this.#written.set(id, text);
  }

  forget(id: string): void {
    this.#written.delete(id);
    this.#files.forget(id);
  }

  /** The container's user, as its image and its files have it now. */
  async owner({ id, spec }: Container): Promise<Pick<ResolvedUser, 'uid' | 'gid'>> {
    return await this.#user(await this.#deps.rootfs.layers(id), spec.user, []);
  }

  /** The process of an exec, ready for JSON. */
  async process(container: Container, exec: ExecSpec, size: { rows: number; columns: number } | null): Promise<object> {
    const { id, spec } = container;
    const layers = await this.#deps.rootfs.layers(id);
    const user = await this.#user(layers, exec.user === '' ? spec.user : exec.user, exec.user === '' ? spec.groupAdd : []);
    const { process } = orThrow(buildProcess(execInput(container, exec, user, size), this.#host));
    const { rlimits, ...rest } = process;
    if (rlimits === undefined) return rest;
    // 2⁶⁴−1, "unlimited", is more than a JavaScript number can hold.
    return { ...rest, rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: rawJSON(String(soft)), hard: rawJSON(String(hard)) })) };
  }

  /** As long as the uppermost layer says nothing of users, the answer is that of the layers below, which never change. */
  async #user(layers: readonly string[], asked: string, groupAdd: readonly string[]): Promise<ResolvedUser> {
    const [upper = '', ...below] = layers;
    if (below.length === 0 || await hasAny(upper, userFiles)) return await userIn(layers, asked, groupAdd);
    const key = JSON.stringify([below, asked, groupAdd]);
    const known = this.#users.get(key);
    if (known !== undefined) return known;
    // Through a link the uppermost layer could have its say all the same.
    if (await hasLinks(below, ['etc', ...userFiles])) return await userIn(layers, asked, groupAdd);
    const user = await userIn(below, asked, groupAdd);
    if (this.#users.size >= maxUsers) this.#users.clear();
    this.#users.set(key, user);
    return user;
  }
}

async function userIn(layers: readonly string[], asked: string, groupAdd: readonly string[]): Promise<ResolvedUser> {
  return orThrow(await resolveUser((path) => readInLayers(layers, path), asked, groupAdd)).user;
}

function orThrow<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new ImpossibleError(outcome.refusal.code, `${outcome.refusal.field}: ${outcome.refusal.message}`);
  return outcome;
}
