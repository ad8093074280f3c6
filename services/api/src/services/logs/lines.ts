// A replica's output as stamped lines: read from the frames that its host sends, and written as Docker's clients expect a service's. Pure.
import { PipeBroken } from '@pouch/pipes';

type Stream = 'stdout' | 'stderr';

export interface StampedLine {
  readonly stream: Stream;
  /** RFC 3339 in UTC with nine digits: it sorts as text. */
  readonly stamp: string;
  /** As the replica wrote it; without a newline where the line was cut by its length, or is not finished. */
  readonly data: Buffer;
}

const headerBytes = 8;
const stampBytes = 30;
/** A line, which hosts cut at 16 KiB, with its stamp. */
const maxFrameBytes = 20 * 1024;

/** Lines of `container.logs` with frames and timestamps: each frame is one. Throws PipeBroken where it is something else, or ends within one. */
export async function* stampedLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<StampedLine, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= headerBytes) {
      const kind = rest[at];
      const length = rest.readUInt32BE(at + 4);
      if ((kind !== 1 && kind !== 2) || length < stampBytes + 1 || length > maxFrameBytes) throw new PipeBroken('the host sent something else than lines with their times');
      const end = at + headerBytes + length;
      if (rest.length < end) break;
      const payload = rest.subarray(at + headerBytes, end);
      yield { stream: kind === 1 ? 'stdout' : 'stderr', stamp: payload.toString('latin1', 0, stampBytes), data: payload.subarray(stampBytes + 1) };
      at = end;
    }
    rest = rest.subarray(at);
  }
  if (rest.length > 0) throw new PipeBroken('the output ended within a line');
}

/** A stamp as ns since 1970. */
export function stampNs(stamp: string): bigint {
  return BigInt(Date.parse(`${stamp.slice(0, 19)}Z`)) * 1_000_000n + BigInt(stamp.slice(20, 29));
}

export function stampOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000000Z`;
}

/** How lines are to be written. `raw`: without frames, for replicas with a terminal. */
export interface LineShape {
  readonly timestamps: boolean;
  readonly details: boolean;
  readonly raw: boolean;
}

/** Where lines come from, in Docker's words. */
export interface LineOrigin {
  readonly hostId: string;
  readonly serviceUid: string;
  readonly taskId: string;
}

/**
 * A line as it is sent: time, details (`key=value` with commas, both escaped as in a query), line. It always ends with a newline, so that lines of several
 * replicas do not mix.
 */
export function written({ stream, stamp, data }: StampedLine, { hostId, serviceUid, taskId }: LineOrigin, { timestamps, details, raw }: LineShape): Buffer {
  const labels = `com.docker.swarm.node.id=${encodeURIComponent(hostId)},com.docker.swarm.service.id=${serviceUid},com.docker.swarm.task.id=${taskId} `;
  const payload = Buffer.concat([Buffer.from(`${timestamps ? `${stamp} ` : ''}${details ? labels : ''}`), data, ...(data.at(-1) === 10 ? [] : [Buffer.from('\n')])]);
  if (raw) return payload;
  const header = Buffer.alloc(headerBytes);
  header[0] = stream === 'stdout' ? 1 : 2;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}
