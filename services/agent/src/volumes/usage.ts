// How many bytes volumes hold, counted by walking them. Links are not followed, and a file with several names counts once.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { HostCalls } from '@pouch/contracts';
import { OperatingError } from '@pouch/process';
import { isDataId, type Volumes } from './volumes.ts';

const run = promisify(execFile);
const timeoutMs = 30_000;
const maxAsked = 10_000;

/** One that cannot be walked in time is left out. */
export async function volumeUsage(volumes: Pick<Volumes, 'home'>, { dataIds }: HostCalls['volume.usage']['params']): Promise<HostCalls['volume.usage']['result']> {
  if (!Array.isArray(dataIds) || dataIds.length > maxAsked || !dataIds.every((dataId) => typeof dataId === 'string' && isDataId(dataId))) throw new OperatingError('bad-parameter', `dataIds must be at most ${maxAsked} ids of volumes' data`);
  const found = [];
  const signal = AbortSignal.timeout(timeoutMs);
  for (const dataId of dataIds) {
    const text = await run('du', ['--summarize', '--apparent-size', '--block-size=1', '--one-file-system', '--', volumes.home(dataId)], { signal }).then(({ stdout }) => stdout, () => '');
    const bytes = Number.parseInt(text, 10);
    if (Number.isSafeInteger(bytes)) found.push({ dataId, bytes });
    if (signal.aborted) break;
  }
  return { volumes: found };
}
