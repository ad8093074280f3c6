// Lines of a service's log: put together from the chunks they come in, and the names of replicas in front of them, as wide as the widest and in the colour of
// their slot. Pure.
import type { ClusterTask } from '@pouch/contracts';
import { CliError } from '../errors.ts';

/** A line of Docker's logs with its details is far shorter; more is something else. */
const maxLineBytes = 1024 * 1024;
/** Names that are kept, of replicas that came and went while following. */
const maxNames = 10_000;
const newline = 10;
/** Docker's ids of tasks are the beginning of the container's id. */
const taskIdLength = 25;

/** Cuts chunks into lines with their newlines. */
export class LineJoiner {
  readonly #take: (line: Buffer) => void;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(take: (line: Buffer) => void) {
    this.#take = take;
  }

  push(chunk: Uint8Array): void {
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      this.#take(Buffer.concat([...this.#parts.splice(0), chunk.subarray(from, end + 1)]));
      this.#bytes = 0;
      from = end + 1;
    }
    if (from === chunk.length) return;
    this.#parts.push(Buffer.from(chunk.subarray(from)));
    this.#bytes += chunk.length - from;
    if (this.#bytes > maxLineBytes) throw new CliError(`the API sent a line longer than ${maxLineBytes} bytes`);
  }
}

export interface Detailed {
  readonly taskId: string;
  readonly hostId: string;
  /** The time, with a space behind it, or nothing. */
  readonly before: string;
  readonly after: Buffer;
}

/** `[time ]details line`: details are `key=value` with commas, escaped as in a query. */
export function readDetails(line: Buffer, timestamps: boolean): Detailed {
  const from = timestamps ? line.indexOf(' ') + 1 : 0;
  const end = line.indexOf(' ', from);
  const details = new Map(line.toString('latin1', from, end === -1 ? from : end).split(',').map((pair) => {
    const [key = '', value = ''] = pair.split('=').map(decodeURIComponent);
    return [key, value] as const;
  }));
  const taskId = details.get('com.docker.swarm.task.id');
  if (taskId === undefined) throw new CliError('the API does not tell whose lines these are', { hint: 'docker service logs --raw shows them without' });
  return { taskId, hostId: details.get('com.docker.swarm.node.id') ?? '', before: line.toString('latin1', 0, from), after: line.subarray(end + 1) };
}

const colours = ['cyan', 'yellow', 'green', 'magenta', 'blue', 'red'] as const;
export type Colour = (typeof colours)[number];

export class Prefixes {
  readonly #paint: (text: string, colour: Colour) => string;
  /** By the id of the task. */
  readonly #names = new Map<string, { readonly name: string; readonly colour: Colour }>();
  #width = 0;

  constructor(paint: (text: string, colour: Colour) => string) {
    this.#paint = paint;
  }

  knows(taskId: string): boolean {
    return this.#names.has(taskId);
  }

  /** `shown`: lines of it are to be expected, so that what comes before them is as wide. */
  add({ id, name, slot, hostId }: Pick<ClusterTask, 'id' | 'name' | 'slot' | 'hostId'>, shown: boolean): void {
    const [first] = this.#names.keys();
    if (this.#names.size >= maxNames && first !== undefined) this.#names.delete(first);
    this.#names.set(id.slice(0, taskIdLength), { name, colour: colours[slot % colours.length] ?? 'cyan' });
    if (shown) this.#width = Math.max(this.#width, `${name}@${hostId ?? ''}`.length);
  }

  /** `name@host`, padded; the id where the task's name is not known. */
  of(taskId: string, hostId: string): string {
    if (!this.#names.has(taskId)) this.add({ id: taskId, name: taskId, slot: 0, hostId }, true);
    const { name, colour } = this.#names.get(taskId) ?? { name: taskId, colour: colours[0] };
    const text = `${name}@${hostId}`;
    this.#width = Math.max(this.#width, text.length);
    return this.#paint(text.padEnd(this.#width), colour);
  }
}
