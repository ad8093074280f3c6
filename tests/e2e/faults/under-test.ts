// What the tests of this directory need of a cluster beside its API: containerd's own view, killing a process and seeing it come back, and
// what its logs say when a test has failed.
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type Containerd } from '@pouch/containerd';
import { containerdPaths } from '../../../scripts/cluster/options.ts';
import { supervisorStatus } from '../../../scripts/cluster/health.ts';
import { startOrder, type ProcessName } from '../../../scripts/cluster/options.ts';
import type { TestCluster } from '../../fixtures/cluster.ts';
import { eventually } from './client.ts';

/** A client of the cluster's containerd, in the agent's namespace. The caller closes it. */
export function containerdOf(cluster: TestCluster): Containerd {
  return connect({ socketPath: containerdPaths(cluster.config).socket, namespace: 'pouch' });
}

/** kill -9 of the process as it runs now, waiting for one where it is just being started again. */
export async function killNow(cluster: TestCluster, name: ProcessName): Promise<number> {
  return await eventually(`${name} can be killed`, async () => {
    const pid = await cluster.pid(name);
    if (pid === undefined) return undefined;
    try {
      process.kill(pid, 'SIGKILL');
      return pid;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined; // it has ended and the status does not say so yet
      throw error;
    }
  });
}

/** Resolves when another process than `killed` runs under the name. */
export async function backAgain(cluster: TestCluster, name: ProcessName, killed: number): Promise<void> {
  await eventually(`${name} runs again`, async () => {
    const pid = await cluster.pid(name);
    return pid !== undefined && pid !== killed ? true : undefined;
  });
}

export async function pidsOf(cluster: TestCluster): Promise<Record<string, number | null>> {
  const status = await supervisorStatus(cluster.config);
  return Object.fromEntries(startOrder.map((name) => [name, status?.processes[name]?.pid ?? null]));
}

/** Warnings and errors at the end of each service's log. With POUCH_TEST_LOGS the logs are copied to that directory. */
export async function troubleOf(cluster: TestCluster): Promise<string> {
  const keep = process.env['POUCH_TEST_LOGS'];
  if (keep !== undefined) await cp(cluster.config.logs, join(keep, cluster.config.hostId ?? ''), { recursive: true });
  const parts: string[] = [];
  for (const name of startOrder) {
    const text = await readFile(join(cluster.config.logs, `${name}.log`), 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => /"level":(40|50|60|"warn"|"error"|"fatal")|level=(warn|error|fatal)|\[(ERR|WRN|FTL)\]|^\s*at |Error/.test(line));
    parts.push(`── ${name}: ${lines.length} lines of trouble, the last:`, ...lines.slice(-12).map((line) => line.slice(0, 600)));
  }
  return parts.join('\n');
}
