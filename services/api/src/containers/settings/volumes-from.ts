// HostConfig.VolumesFrom: all that other containers have mounted, running or not. It is resolved once, when the container is made: what becomes of the other ones later changes nothing.
import { mountsToShare, type Mount, type VolumesFrom } from '@pouch/domain';
import { badField } from '../../errors.ts';
import { host, type Reading } from './table.ts';

/** After binds, mounts and tmpfs, which come before what is taken from others; of several of those the last one is first, as in Docker. */
export const volumesFrom = host('VolumesFrom', (draft, value, reading) => {
  const read = value.map((text, index) => from(text, { ...reading, field: `${reading.field}[${index}]` }));
  if (read.length === 0) return;
  const byTarget = new Map(read.flatMap(({ mounts }) => mounts).map((mount) => [mount.target, mount]));
  const taken = new Set(draft.mounts.map(({ target }) => target));
  draft.volumesFrom = read.map(({ source }) => source);
  draft.mounts = [...draft.mounts, ...[...byTarget.values()].filter(({ target }) => !taken.has(target))];
}, (spec) => spec.volumesFrom?.map(({ asked }) => asked) ?? null);

/** `container[:mode]` */
function from(text: string, { field, surroundings }: Reading): { readonly source: VolumesFrom; readonly mounts: readonly Mount[] } {
  const [name = '', mode] = text.split(/:(.*)/s, 2);
  if (name === '') throw badField(field, `${JSON.stringify(text.slice(0, 200))} names no container: NAME, NAME:ro and NAME:rw are right`);
  let readonly = false;
  for (const option of mode?.split(',') ?? []) {
    if (option === 'ro') readonly = true;
    // rw is the default; z and Z have nothing to act on: no SELinux labels.
    else if (!['rw', 'z', 'Z'].includes(option)) throw badField(field, `invalid mode: ${option.slice(0, 80)}; it may be ro or rw`);
  }
  const other = surroundings.findContainer(name);
  // Not 404: clients take that for a missing image, pull, and try again.
  if (other === null) throw badField(field, `No such container: ${name.slice(0, 200)}`);
  return { source: { containerId: other.id, asked: text }, mounts: mountsToShare(other, { readonly }) };
}
