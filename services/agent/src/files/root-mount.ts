// The snapshot of a container as one mount(2). Pure.
import type { Mount } from '@pouch/containerd';
import { OperatingError } from '@pouch/process';
import { overlayOptions } from './overlay-options.ts';

/** Options in `data` may be relative to `directory`. Throws `unsupported` for a snapshotter's that is neither an overlay nor a directory. */
export function mountOf(id: string, [mount, ...more]: readonly Mount[]): { readonly type: 'overlay' | 'bind'; readonly source: string; readonly data: string; readonly directory: string } {
  if (mount === undefined || more.length > 0 || (mount.type !== 'overlay' && mount.type !== 'bind')) throw new OperatingError('unsupported', `files of a container that does not run cannot be copied: the root of ${id} is no overlay`);
  const { type, source } = mount;
  return { type, source, ...(type === 'bind' ? { data: '', directory: '/' } : overlayOptions(mount.options)) };
}
