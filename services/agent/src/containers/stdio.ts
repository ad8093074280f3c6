// How a container's stdio is wired: output to the log writer, which outlives the agent; input by a FIFO that the shim keeps open.
// Nothing here reads a byte of it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { TaskStdio } from '@pouch/containerd';
import type { Container } from '@pouch/domain';
import { logWriterFifoArguments, logWriterPath, logWriterUri, type LogWriterOptions, type SysHelper } from '@pouch/native';
import { OperatingError } from '@pouch/process';
import type { Layout } from './layout.ts';

const writerStartMs = 20_000;

/** Makes what the start's stdio needs and says how the task is to be wired. */
export async function prepareStdio(layout: Layout, sys: SysHelper, { id, spec }: Container, startId: string): Promise<TaskStdio> {
  const log: LogWriterOptions = { dir: layout.log(id), startId, maxSizeBytes: spec.log.maxSizeBytes, maxFiles: spec.log.maxFiles, tty: spec.tty };
  const uri = logWriterUri(log);
  if (!spec.openStdin) return spec.tty ? { stdout: uri, terminal: true } : { stdout: uri, stderr: uri };
  const { dir, stdin, stdout, stderr } = layout.startIo(id, startId);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (spec.tty) {
    await makeFifos(sys, [stdin]);
    return { stdin, stdout: uri, terminal: true };
  }
  await makeFifos(sys, [stdin, stdout, stderr]);
  await startWriter(logWriterFifoArguments(log, stdout, stderr));
  return { stdin, stdout, stderr };
}

/** Makes FIFOs; one that is there already, from before a crash, is as good. */
export async function makeFifos(sys: SysHelper, paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => sys.mkfifo(path).catch((error: { code?: string }) => {
    if (error.code !== 'EEXIST') throw error;
  })));
}

/** The writer goes into the background by itself and its first process exits once it is ready. */
async function startWriter(args: readonly string[]): Promise<void> {
  const child = spawn(logWriterPath, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true, cwd: '/', env: {} });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { words = (words + text).slice(-1_000); });
  const timer = setTimeout(() => child.kill('SIGKILL'), writerStartMs);
  try {
    const [code, signal] = await once(child, 'exit') as [number | null, string | null];
    if (code !== 0) throw new OperatingError('log-writer', `the log writer could not be started (${signal ?? code}): ${words.trim()}`);
  } finally {
    clearTimeout(timer);
    child.stderr.destroy(); // its background child holds the other end
  }
}
