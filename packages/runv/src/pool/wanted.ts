// What the pool is asked to have ready, as one word of a command line; and the rehearsal, which holds of a container's settings only what is
// no secret of it: kinds of mounts, masked paths, rights. Pure.
import { record } from '../protocol/records.ts';
import { configure } from '../protocol/ops.ts';
import type { TemplatableMachine } from '../machine/template.ts';
import type { ProcessSpec, RuntimeSpec } from '../spec.ts';
import { fileRecord, ownMount, spawnPayload } from '../spec-to-guest.ts';
import { generated } from '../volumes.ts';
import type { Rehearsal } from './rehearsal.ts';

/** What `create` knows of a machine that the pool should have ready. */
export interface Wanted {
  readonly machine: TemplatableMachine;
  /** CONFIGURE's records of the root. */
  readonly root: Buffer;
  readonly rehearsal: Rehearsal;
}

/** Mount points that there are in every container. */
const usual = new Set(['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/sys/fs/cgroup', '/run']);
/** Present in nearly every image, and without effect. */
const program = 'true';
const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function rehearsalOf(spec: RuntimeSpec, root: Buffer): Rehearsal {
  const { capabilities, rlimits, noNewPrivileges } = spec.process ?? {};
  const first: ProcessSpec & { readonly args: readonly string[] } = {
    args: [program], env: [searchPath], cwd: '/',
    ...(capabilities === undefined ? {} : { capabilities }), ...(rlimits === undefined ? {} : { rlimits }), ...(noNewPrivileges === undefined ? {} : { noNewPrivileges }),
  };
  // Only what every container has: a directory made for another's mount would be seen in the next one's root.
  const mounts = (spec.mounts ?? []).filter(({ destination }) => usual.has(destination)).flatMap((mount) => ownMount(mount) ?? []);
  const files = (spec.mounts ?? []).filter(({ destination }) => generated.has(destination)).map(({ destination }) => fileRecord(destination, 0o644, Buffer.alloc(0)));
  const { maskedPaths = [], readonlyPaths = [] } = spec.linux ?? {};
  return {
    prepare: Buffer.concat([
      root, ...mounts, ...files, record(configure.hostname, 'ready'), record(configure.machineId, Buffer.alloc(16)),
      ...maskedPaths.map((path) => record(configure.maskedPath, path)), ...readonlyPaths.map((path) => record(configure.readonlyPath, path)),
    ]),
    spawn: spawnPayload(first),
  };
}

export function encodeWanted({ machine, root, rehearsal }: Wanted): string {
  const disks = machine.disks.map(({ id, path, readOnly }) => ({ id, path, readOnly }));
  return JSON.stringify({ machine: { ...machine, disks }, root: root.toString('base64'), prepare: rehearsal.prepare.toString('base64'), spawn: rehearsal.spawn.toString('base64') });
}

export function decodeWanted(text: string): Wanted {
  const { machine, root, prepare, spawn } = JSON.parse(text) as { machine: TemplatableMachine; root: string; prepare: string; spawn: string };
  const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
  return { machine, root: bytes(root), rehearsal: { prepare: bytes(prepare), spawn: bytes(spawn) } };
}
