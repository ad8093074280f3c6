// runv list
import { parseArguments } from '../arguments.ts';
import type { Globals } from '../globals.ts';
import { listStates, statusOf } from '../state.ts';

export function run(args: readonly string[], { root }: Globals): number {
  const { flags, values } = parseArguments(args, { flags: ['quiet'], values: ['format'], alias: { q: 'quiet', f: 'format' } });
  const rows = listStates(root).map((state) => {
    const status = statusOf(root, state);
    const { ociVersion, id, bundle, rootfs, created, annotations } = state;
    return { ociVersion, id, pid: status === 'stopped' ? 0 : state.pid, status, bundle, rootfs, created, annotations, owner: 'root' };
  });
  if (flags.has('quiet')) process.stdout.write(rows.map(({ id }) => `${id}\n`).join(''));
  else if (values.get('format') === 'json') process.stdout.write(`${JSON.stringify(rows)}\n`);
  else process.stdout.write(['ID PID STATUS BUNDLE CREATED OWNER', ...rows.map(({ id, pid, status, bundle, created, owner }) => [id, pid, status, bundle, created, owner].join(' ')), ''].join('\n'));
  return 0;
}
