// A unit of systemd that brings this machine's processes up at boot. Only where systemd runs the machine; without it the supervisor is started by hand.
import { execFile } from 'node:child_process';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryDir } from './config.ts';
import type { ClusterConfig } from './cluster/options.ts';

const run = promisify(execFile);
const unitName = 'pouch-machine.service';
const unitPath = `/etc/systemd/system/${unitName}`;

/** `node`: any from 18 on. Paths hold no spaces or percent signs: `systemctl` would read them in its own way. */
export function unitText(config: Pick<ClusterConfig, 'data' | 'run' | 'logs' | 'socket' | 'bridge' | 'subnet'>, { node, repository }: { readonly node: string; readonly repository: string }): string {
  const bootstrap = join(repository, 'scripts', 'bootstrap.mjs');
  const options = (['data', 'run', 'logs', 'socket', 'bridge', 'subnet'] as const).map((name) => `--${name}=${config[name]}`).join(' ');
  return `[Unit]
Description=Pouch: what this machine runs of its cluster
Wants=network-online.target
After=network-online.target local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${node} ${bootstrap} up.ts --no-image --no-install --no-machines ${options}
ExecStop=${node} ${bootstrap} control.ts down ${options}
# Containers, and what writes their output, outlive the processes.
KillMode=process
Delegate=yes
TimeoutStartSec=300
TimeoutStopSec=300

[Install]
WantedBy=multi-user.target
`;
}

/** Idempotent. Says so where there is no systemd. */
export async function installUnit(config: ClusterConfig, say: (line: string) => void): Promise<void> {
  const booted = await access('/run/systemd/system').then(() => true, () => false);
  if (!booted) return say('systemd does not run this machine: after a boot, `npm run up` starts it again');
  await writeFile(unitPath, unitText(config, { node: process.execPath, repository: repositoryDir }));
  await run('systemctl', ['daemon-reload']);
  await run('systemctl', ['enable', unitName]);
  say(`${unitName} brings it up at boot`);
}
