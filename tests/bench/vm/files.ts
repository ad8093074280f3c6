// File systems in a machine: its root file system (erofs layers, ext4 scratch disk, overlay) beside a volume (virtiofs), and both in a container.
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { environment } from '../../../scripts/config.ts';
import { median, round2 } from '../figures.ts';
import type { Session } from '../session.ts';
import type { Pouch } from '../sides/pouch.ts';

const run = promisify(execFile);
const times = 3;

export async function files(session: Session, { cluster }: Pouch): Promise<void> {
  const directory = await session.directory('files');
  const volume = join(directory, 'volume');
  await mkdir(volume);
  await run('musl-gcc', ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', join(volume, 'files'), join(import.meta.dirname, 'files.c')]);
  session.say(`files, ${times} times on each file system`);
  for (const runtime of ['runv', 'runc']) {
    for (const [name, place] of [['root', '/root'], ['volume', '/volume']] as const) {
      const found: Record<string, number>[] = [];
      for (let time = 0; time < times; time++) {
        const { stdout } = await run('docker', ['-H', `unix://${cluster.socket}`, 'run', '--rm', '--runtime', runtime, '--network', 'none', '-v', `${volume}:/volume`, 'busybox', '/volume/files', place], { env: { PATH: environment.path.join(':') } });
        found.push(JSON.parse(stdout) as Record<string, number>);
      }
      const steps = Object.keys(found[0] ?? {}).map((step) => [step, round2(median(found.map((one) => one[step] ?? Number.NaN)))]);
      session.tell({ figure: 'files', unit: 'µs a file, MB/s', side: runtime, place: name, samples: times, ...Object.fromEntries(steps) as object });
    }
  }
}
