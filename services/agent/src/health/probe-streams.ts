// Where a probe's process writes: two FIFOs, opened before there is a process, so that nothing of it is missed. They are gone when the probe is over.
import { mkdir, rm } from 'node:fs/promises';
import type { SysHelper } from '@pouch/native';
import type { Logger } from '@pouch/process';
import { maxProbeOutputBytes } from '@pouch/domain';
import type { Layout } from '../containers/layout.ts';
import { makeFifos } from '../containers/stdio.ts';
import { FifoReader } from '../exec/fifo-reader.ts';
import { ProbeOutput } from './probe-output.ts';

/** Of every probe: so there is one of a container at most, and the next life of the agent knows what to clear up. */
export const probeExecId = 'health';

export interface ProbeStreams {
  /** Paths for the process. */
  readonly stdout: string;
  readonly stderr: string;
  readonly output: Pick<ProbeOutput, 'read' | 'text'>;
  /** The process has opened them: they end when it and its children have closed them. */
  release(): void;
  /** Never rejects. */
  close(): Promise<void>;
}

export interface ProbeStreamsDeps {
  readonly sys: SysHelper;
  readonly layout: Layout;
  readonly logger: Logger;
}

/** Those of a container's next probe. On failure nothing is left behind. */
export async function openProbeStreams({ sys, layout, logger }: ProbeStreamsDeps, containerId: string): Promise<ProbeStreams> {
  const { dir, stdout, stderr } = layout.execIo(containerId, probeExecId);
  const readers: FifoReader[] = [];
  const close = async (): Promise<void> => {
    for (const reader of readers) reader.close();
    await rm(dir, { recursive: true, force: true }).catch((error: unknown) => logger.debug({ containerId, err: error }, 'FIFOs of a probe could not be removed'));
  };
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await makeFifos(sys, [stdout, stderr]);
    for (const path of [stdout, stderr]) readers.push(await FifoReader.open(path));
    return { stdout, stderr, output: new ProbeOutput(readers.map(({ socket }) => socket), maxProbeOutputBytes), release: () => { for (const reader of readers) reader.release(); }, close };
  } catch (error) {
    await close();
    throw error;
  }
}
