// Clients that use the API as programs do that must not lose count: each lives containers through, repeats what was not answered, and keeps
// books of what it asked for and what it was told. The tests compare the books with everything else afterwards.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask, eventually, NoAnswer, readJson, read, type Answer } from './client.ts';
import type { Random } from './random.ts';

/** How a container comes to its end. */
type Ending = 'by itself' | 'stopped' | 'killed';

export type Entry = {
  readonly name: string;
  readonly ending: Ending;
  /** The exit code that it must end with. */
  readonly exitCode: number;
  /** The name that it was given later, where that was acknowledged. */
  newName: string | null;
  /** Execs that came to their end; null where a start that was never acknowledged was given up, having run or not. */
  execs: number | null;
  /** Set when the creation was acknowledged, or found to have been done. */
  id: string | null;
  /** Starts asked for, answered or not. */
  starts: number;
  /** Starts that were acknowledged. */
  started: number;
  removed: boolean;
  /** The client has given it up: its creation was never answered, or something was refused for a good reason. */
  abandoned: boolean;
};

export type LoadOptions = {
  readonly socket: string;
  /** Of every container. */
  readonly runtime: string;
  /** Bind-mounted at /book: every start of a container adds a line to the file of its name. */
  readonly book: string;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Whether there is a reason for a refusal, e.g. that a disk is full; the client then gives its container up. Default: there is never one. */
  readonly excused?: (answer: Answer) => boolean;
};

/** How long one step may go without success; longer than any restart takes. */
const patienceMs = 90_000;
/** A claim on a name whose api died stands for a minute; a client that is not that patient takes another name. */
const createPatienceMs = 15_000;
/** Whoever is refused does not ask for the next one at once. */
const afterRefusalMs = 500;

/** Lives containers through, one after the other, until told to end; the last one is lived to its end. Rejects at the first wrong answer. */
export async function runClient(client: string, { socket, runtime, book, random, signal, excused = () => false }: LoadOptions): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let n = 0; !signal.aborted && n < 10_000; n++) {
    const ending = random.pick<Ending>(['by itself', 'by itself', 'stopped', 'killed']);
    const exitCode = ending === 'killed' ? 137 : ending === 'stopped' ? 3 : random.between(0, 99);
    const entry: Entry = { name: `load-${client}-${n}`, ending, exitCode, newName: null, execs: 0, id: null, starts: 0, started: 0, removed: false, abandoned: false };
    entries.push(entry);
    await new Life({ socket, runtime, book }, entry).live({ sleepMs: random.between(0, 1_500), remove: !random.oneIn(3), exec: random.oneIn(2), rename: random.oneIn(3) }).catch(async (error: unknown) => {
      if (!(error instanceof WrongAnswer) || !excused(error.answer)) throw error;
      entry.abandoned = true;
      await delay(afterRefusalMs);
    });
  }
  return entries;
}

/** Every name that its container may have or have had. */
export const namesOf = ({ name }: Entry): readonly string[] => [name, renamed(name)];
const renamed = (name: string): string => `${name}-renamed`;

/** With which an exec ends. */
const execCode = 5;
/** Told of an end that nobody saw. */
const unseenCode = 255;

type ExecState = { readonly Running: boolean; readonly ExitCode: number | null };

/** What the script of a container says first to its file and to its output. */
export const startLine = 'start';

function script({ name, ending, exitCode }: Entry, sleepMs: number): string {
  const first = `trap "exit 3" TERM; echo ${startLine} >> /book/${name}; echo out ${name}`;
  return ending === 'by itself' ? `${first}; sleep ${sleepMs / 1_000}; exit ${exitCode}` : `${first}; while :; do sleep 0.1; done`;
}

/** How many times the container has really begun. */
export function begun(book: string, name: string): number {
  const file = join(book, name);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter((line) => line === startLine).length : 0;
}

type State = { readonly status: string; readonly requests: readonly { readonly action: { readonly kind: string } }[]; readonly lastExit?: { readonly exitCode: number } | null };

class Life {
  readonly #socket: string;
  readonly #runtime: string;
  readonly #book: string;
  readonly #entry: Entry;

  constructor({ socket, runtime, book }: Pick<LoadOptions, 'socket' | 'runtime' | 'book'>, entry: Entry) {
    this.#socket = socket;
    this.#runtime = runtime;
    this.#book = book;
    this.#entry = entry;
  }

  async live({ sleepMs, remove, exec, rename }: { sleepMs: number; remove: boolean; exec: boolean; rename: boolean }): Promise<void> {
    if (!(await this.#create(sleepMs))) return;
    await this.#start();
    const { ending, name } = this.#entry;
    if (ending !== 'by itself') await eventually(`a line of ${name}`, () => begun(this.#book, name) > 0 || undefined, { withinMs: patienceMs });
    if (ending !== 'by itself' && exec) await this.#exec();
    if (ending === 'stopped') await this.#end('stop?t=60');
    if (ending === 'killed') await this.#end('kill');
    await this.#wait();
    await this.#inspect();
    if (rename) await this.#rename();
    if (remove) await this.#remove();
  }

  /** False: given up, nobody knows whether it is there. */
  async #create(sleepMs: number): Promise<boolean> {
    const { name } = this.#entry;
    const body = { Image: 'busybox', Cmd: ['sh', '-c', script(this.#entry, sleepMs)], HostConfig: { Runtime: this.#runtime, NetworkMode: 'none', Binds: [`${this.#book}:/book`] } };
    const deadline = Date.now() + createPatienceMs;
    for (let tries = 0; Date.now() < deadline; tries++) {
      const answer = await this.#try('POST', `/containers/create?name=${name}`, body);
      if (answer?.status === 201) {
        this.#entry.id = (JSON.parse(answer.text) as { Id: string }).Id;
        return true;
      }
      // A conflict is with an earlier try of our own, for nobody else uses this name.
      if (answer !== null && answer.status !== 503 && !(answer.status === 409 && (tries > 0 || /no host can take/.test(answer.text)))) throw wrong('create', name, answer);
      const found = await read(this.#socket, `/cluster/containers/${name}`, { withinMs: patienceMs });
      const state = found.status === 200 ? (JSON.parse(found.text) as { state: { id: string; status: string } }).state : null;
      if (state !== null && state.status !== 'assigned' && state.status !== 'removed') {
        this.#entry.id = state.id;
        return true;
      }
      await delay(100);
    }
    this.#entry.abandoned = true;
    return false;
  }

  async #start(): Promise<void> {
    await this.#repeat('start', async () => {
      this.#entry.starts += 1;
      const answer = await this.#try('POST', `/containers/${this.#id}/start`);
      if (answer?.status === 204 || answer?.status === 304) {
        this.#entry.started += 1;
        return true;
      }
      if (answer !== null && answer.status !== 503) throw wrong('start', this.#entry.name, answer);
      // Not answered: it may be done, under way, or never have been heard.
      return !['assigned', 'created'].includes((await this.#settled()).status) || undefined;
    });
  }

  async #end(verb: string): Promise<void> {
    await this.#repeat(verb, async () => {
      const answer = await this.#try('POST', `/containers/${this.#id}/${verb}`);
      if (answer?.status === 204 || answer?.status === 304 || (answer?.status === 409 && /not running/.test(answer.text))) return true;
      if (answer !== null && answer.status !== 503) throw wrong(verb, this.#entry.name, answer);
      return (await this.#settled()).status !== 'running' || undefined;
    });
  }

  async #wait(): Promise<void> {
    await this.#repeat('wait', async () => {
      const answer = await this.#try('POST', `/containers/${this.#id}/wait`);
      if (answer === null || answer.status === 503) return undefined;
      const body = answer.status === 200 ? JSON.parse(answer.text) as { StatusCode: number } : null;
      if (body?.StatusCode === 125) return undefined; // the api ended before the container did
      if (body?.StatusCode !== this.#entry.exitCode) throw wrong('wait', JSON.stringify(this.#entry), answer);
      return true;
    });
  }

  async #inspect(): Promise<void> {
    const { State } = await readJson<{ State: { Status: string; ExitCode: number } }>(this.#socket, `/containers/${this.#id}/json`);
    if (State.Status !== 'exited' || State.ExitCode !== this.#entry.exitCode) throw new Error(`${this.#entry.name} should have exited with ${this.#entry.exitCode}: ${JSON.stringify(State)}`);
  }

  /** Runs once, whoever dies meanwhile, and its exit code is known. */
  async #exec(): Promise<void> {
    const { name } = this.#entry;
    const Cmd = ['sh', '-c', `echo ${startLine} >> /book/${name}.exec; exit ${execCode}`];
    const id = await eventually(`an exec of ${name} is created`, async () => {
      const answer = await this.#try('POST', `/containers/${this.#id}/exec`, { Cmd });
      if (answer !== null && answer.status !== 201 && answer.status !== 503) throw wrong('exec create', name, answer);
      return answer?.status === 201 ? (JSON.parse(answer.text) as { Id: string }).Id : undefined;
    }, { withinMs: patienceMs });
    let acknowledged = false;
    await this.#repeat('exec', async () => {
      const before = await readJson<ExecState>(this.#socket, `/exec/${id}/json`);
      if (before.ExitCode === execCode) {
        this.#entry.execs = 1;
        return true;
      }
      // Host and client lost it in the middle of its start: it is not tried again by anybody.
      if (before.ExitCode === unseenCode && !acknowledged) {
        this.#entry.execs = null;
        return true;
      }
      if (before.ExitCode !== null) throw new Error(`the exec of ${name} should have exited with ${execCode}: ${JSON.stringify(before)}`);
      if (before.Running) return undefined;
      const answer = await this.#try('POST', `/exec/${id}/start`, { Detach: true });
      // 409: an earlier try has started it.
      if (answer !== null && ![200, 409, 503].includes(answer.status)) throw wrong('exec start', name, answer);
      acknowledged ||= answer?.status === 200;
      return undefined;
    });
  }

  async #rename(): Promise<void> {
    const { name } = this.#entry;
    const newName = renamed(name);
    await this.#repeat('rename', async () => {
      const answer = await this.#try('POST', `/containers/${this.#id}/rename?name=${newName}`);
      // 400: it is called so already, by an earlier try.
      if (answer?.status === 204 || (answer?.status === 400 && /same name/.test(answer.text))) return true;
      if (answer !== null && answer.status !== 503) throw wrong('rename', name, answer);
      return undefined;
    });
    this.#entry.newName = newName;
  }

  async #remove(): Promise<void> {
    let asked = false;
    await this.#repeat('remove', async () => {
      const answer = await this.#try('DELETE', `/containers/${this.#id}`);
      if (answer?.status === 204 || (answer?.status === 404 && asked)) return true;
      if (answer !== null && answer.status !== 503 && !(answer.status === 409 && asked)) throw wrong('remove', this.#entry.name, answer);
      asked = true;
      return undefined;
    });
    this.#entry.removed = true;
  }

  get #id(): string {
    return this.#entry.id ?? '';
  }

  /** The state when everything that was asked has been carried out. */
  async #settled(): Promise<State> {
    return await eventually(`the requests of ${this.#entry.name} are carried out`, async () => {
      const { state } = await readJson<{ state: State }>(this.#socket, `/cluster/containers/${this.#id}`);
      return state.requests.length === 0 ? state : undefined;
    }, { withinMs: patienceMs });
  }

  /** The answer, or null where none came. */
  async #try(method: string, path: string, body?: unknown): Promise<Answer | null> {
    try {
      return await ask(this.#socket, method, path, body === undefined ? {} : { body });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return null;
    }
  }

  async #repeat(what: string, attempt: () => Promise<true | undefined>): Promise<void> {
    await eventually(`${what} of ${this.#entry.name}`, attempt, { withinMs: patienceMs });
  }
}

class WrongAnswer extends Error {
  readonly answer: Answer;

  constructor(message: string, answer: Answer) {
    super(message);
    this.answer = answer;
  }
}

function wrong(what: string, name: string, answer: Answer): WrongAnswer {
  return new WrongAnswer(`${what} of ${name} was answered ${answer.status}: ${answer.text.slice(0, 500)}`, answer);
}
