// A stand-in for a remote: a small scripted server that speaks Docker's API over a unix socket, hijacked connections included. It runs no
// containers: a container's "program" is a function below, chosen by its command. The real API is tested with the real CLI end to end elsewhere.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Record<string, unknown> | null;
}

interface Box {
  readonly id: string;
  name: string;
  readonly body: Record<string, unknown>;
  status: 'created' | 'running' | 'exited';
  exitCode: number;
  size: string;
  attached: Duplex | null;
  /** Input until it ends. */
  input: Buffer[];
  onInput: (() => void) | null;
  inputEnded: boolean;
  onSignal: ((signal: string) => void) | null;
  readonly waiters: ((code: number) => void)[];
}

export interface Run {
  readonly tty: boolean;
  readonly command: readonly string[];
  size(): string;
  out(text: string | Buffer): void;
  err(text: string): void;
  /** Called with each piece of input, and with null at its end. */
  onInput(handler: (chunk: Buffer | null) => void): void;
  onSignal(handler: (signal: string) => void): void;
  exit(code: number): void;
}

type Route = (seen: Seen, response: http.ServerResponse, match: RegExpExecArray) => void;

export class DockerApiStandIn {
  readonly folder = mkdtempSync(join(tmpdir(), 'pouch-test-cli-'));
  readonly socketPath = join(this.folder, 'api.sock');
  readonly seen: Seen[] = [];
  readonly images = new Set(['busybox:latest', 'docker.io/library/busybox:latest']);
  readonly boxes = new Map<string, Box>();
  /** Further or other routes, tried first: `GET /path` with a regular expression for the path. */
  readonly routes: { method: string; path: RegExp; answer: Route }[] = [];
  private readonly execs = new Map<string, { body: Record<string, unknown>; running: boolean; exitCode: number | null }>();
  private readonly sockets = new Set<Socket>();
  private readonly server = http.createServer((request, response) => void this.serve(request, response));

  async start(): Promise<this> {
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    this.server.on('upgrade', (request, socket, head) => void this.upgrade(request, socket, head));
    await new Promise<void>((resolve) => this.server.listen(this.socketPath, resolve));
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }

  asked(method: string, path: RegExp): Seen[] {
    return this.seen.filter((one) => one.method === method && path.test(one.path));
  }

  box(name: string): Box | undefined {
    return [...this.boxes.values()].find((one) => one.id.startsWith(name) || one.name === name);
  }

  private async serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const seen = this.record(request, Buffer.concat(chunks));
    for (const { method, path, answer } of this.routes) {
      const match = path.exec(seen.path);
      if (method === seen.method && match !== null) return answer(seen, response, match);
    }
    this.builtIn(seen, response);
  }

  private record(request: http.IncomingMessage, body: Buffer): Seen {
    const url = new URL(request.url ?? '/', 'http://x');
    const json = body.length > 0 && request.headers['content-type'] === 'application/json' ? (JSON.parse(body.toString()) as Record<string, unknown>) : null;
    const seen: Seen = { method: request.method ?? '', path: url.pathname, query: Object.fromEntries(url.searchParams), headers: request.headers, body: json };
    this.seen.push(seen);
    return seen;
  }

  private builtIn(seen: Seen, response: http.ServerResponse): void {
    const json = (status: number, value: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    const fail = (status: number, message: string) => json(status, { message });
    const { method, path, query } = seen;
    if (method === 'POST' && path === '/containers/create') return void this.create(seen, json, fail);
    if (method === 'POST' && path === '/images/create') return this.pull(query, response);
    if (method === 'GET' && path.startsWith('/images/') && path.endsWith('/json') && path !== '/images/json') {
      const name = path.slice('/images/'.length, -'/json'.length);
      return void (this.images.has(name) || this.images.has(`${name}:latest`) ? json(200, { Id: `sha256:${'1'.repeat(64)}`, Config: { Cmd: ['sh'] } }) : fail(404, `No such image: ${name}`));
    }
    if (method === 'GET' && path === '/containers/json') return void json(200, this.list(query));
    const [, name = '', action = ''] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const execMatch = /^\/exec\/([^/]+)\/(\w+)$/.exec(path);
    if (execMatch !== null) {
      const exec = this.execs.get(execMatch[1] as string);
      if (exec === undefined) return void fail(404, 'No such exec instance');
      return void (execMatch[2] === 'json' ? json(200, { Running: exec.running, ExitCode: exec.exitCode }) : json(200, {}));
    }
    const box = this.box(name);
    if (box === undefined) return void fail(name === '' ? 501 : 404, name === '' ? `not here: ${path}` : `No such container: ${name}`);
    switch (`${method} ${action}`) {
      case 'GET json':
        return void json(200, { Id: box.id, Name: `/${box.name}`, State: { Running: box.status === 'running', Status: box.status, ExitCode: box.exitCode }, Config: box.body, HostConfig: box.body['HostConfig'] ?? {} });
      case 'POST start':
        return this.run(box, response, fail);
      case 'POST wait':
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
        if (box.status === 'exited' && query['condition'] !== 'next-exit') response.end(JSON.stringify({ StatusCode: box.exitCode }));
        else box.waiters.push((code) => response.end(JSON.stringify({ StatusCode: code })));
        return;
      case 'POST resize':
        box.size = `${query['h']}x${query['w']}`;
        return void json(200, {});
      case 'POST kill':
        box.onSignal?.(query['signal'] ?? 'KILL');
        return void response.writeHead(204).end();
      case 'POST exec': {
        const id = randomBytes(32).toString('hex');
        this.execs.set(id, { body: seen.body ?? {}, running: false, exitCode: null });
        return void json(201, { Id: id });
      }
      case 'DELETE ':
        this.boxes.delete(box.id);
        return void response.writeHead(204).end();
      default:
        return void response.writeHead(204).end();
    }
  }

  private create(seen: Seen, json: (status: number, value: unknown) => void, fail: (status: number, message: string) => void): void {
    const image = String(seen.body?.['Image']);
    if (!this.images.has(image) && !this.images.has(`${image}:latest`)) return fail(404, `No such image: ${image}`);
    const id = randomBytes(32).toString('hex');
    const name = seen.query['name'] ?? id.slice(0, 6);
    if (this.box(name) !== undefined) return fail(409, `the name ${name} is in use`);
    this.boxes.set(id, { id, name, body: seen.body ?? {}, status: 'created', exitCode: 0, size: '', attached: null, input: [], onInput: null, inputEnded: false, onSignal: null, waiters: [] });
    json(201, { Id: id, Warnings: [] });
  }

  private pull(query: Readonly<Record<string, string>>, response: http.ServerResponse): void {
    const reference = `${query['fromImage']}:${query['tag']}`;
    const say = (line: object) => response.write(`${JSON.stringify(line)}\r\n`);
    response.writeHead(200, { 'content-type': 'application/json' });
    if (reference.startsWith('missing')) {
      say({ errorDetail: { message: `pull access denied for ${reference}` }, error: 'x' });
      return void response.end();
    }
    say({ status: 'Pulling from registry', id: query['tag'] });
    for (const current of [0, 500, 1000]) say({ id: 'layer1', status: 'Downloading', progressDetail: { current, total: 1000 } });
    say({ id: 'layer1', status: 'Pull complete', progressDetail: {} });
    say({ status: `Status: Downloaded newer image for ${reference}` });
    this.images.add(reference);
    response.end();
  }

  private list(query: Readonly<Record<string, string>>): unknown[] {
    const filters = JSON.parse(query['filters'] ?? '{}') as { status?: string[] };
    return [...this.boxes.values()]
      .filter((box) => filters.status === undefined || filters.status.includes(box.status))
      .filter((box) => query['all'] === '1' || box.status === 'running')
      .map((box) => ({ Id: box.id, Names: [`/${box.name}`], Image: box.body['Image'], Created: 1_700_000_000, State: box.status, Status: box.status === 'running' ? 'Up 3 seconds' : 'Created', HostConfig: { Runtime: 'runc' } }));
  }

  private run(box: Box, response: http.ServerResponse, fail: (status: number, message: string) => void): void {
    const command = (box.body['Cmd'] as string[] | undefined) ?? ['sh'];
    const program = programs[command[0] as string];
    if (program === undefined) return fail(400, `exec: "${command[0]}": executable file not found in $PATH`);
    box.status = 'running';
    response.writeHead(204).end();
    const tty = box.body['Tty'] === true;
    program({
      tty,
      command,
      size: () => box.size,
      out: (text) => void box.attached?.write(framed(tty, 1, text)),
      err: (text) => void box.attached?.write(framed(tty, 2, text)),
      onInput: (handler) => {
        box.onInput = () => {
          for (const chunk of box.input.splice(0)) handler(chunk);
          if (box.inputEnded) handler(null);
        };
        box.onInput();
      },
      onSignal: (handler) => void (box.onSignal = handler),
      exit: (code) => {
        if (box.status === 'exited') return;
        box.status = 'exited';
        box.exitCode = code;
        box.attached?.end();
        for (const waiter of box.waiters.splice(0)) waiter(code);
        if ((box.body['HostConfig'] as { AutoRemove?: boolean } | undefined)?.AutoRemove === true) this.boxes.delete(box.id);
      },
    });
  }

  /** Node leaves the body of an upgraded request unread: its Content-Length bytes come first. */
  private async upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    let rest = head;
    const length = Number(request.headers['content-length'] ?? 0);
    while (rest.length < length) rest = Buffer.concat([rest, await new Promise<Buffer>((resolve) => socket.once('data', resolve))]);
    socket.pause();
    const seen = this.record(request, rest.subarray(0, length));
    rest = rest.subarray(length);
    socket.on('error', () => {
      // The client went away: that is what several tests are about.
    });
    const [, name] = /^\/containers\/([^/]+)\/attach$/.exec(seen.path) ?? [];
    const [, execId] = /^\/exec\/([^/]+)\/start$/.exec(seen.path) ?? [];
    const box = name === undefined ? undefined : this.box(name);
    const exec = execId === undefined ? undefined : this.execs.get(execId);
    if (box === undefined && exec === undefined) {
      const body = JSON.stringify({ message: `No such container: ${name}` });
      return void socket.end(`HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    }
    const tty = (box?.body ?? exec?.body)?.['Tty'] === true;
    socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.${tty ? 'raw' : 'multiplexed'}-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
    if (rest.length > 0) socket.unshift(rest);
    if (box !== undefined) {
      box.attached = socket;
      socket.on('data', (chunk: Buffer) => {
        box.input.push(chunk);
        box.onInput?.();
      });
      socket.on('end', () => {
        // With a terminal the end of a connection is a client that left, not the end of input.
        if (tty) return void socket.end();
        box.inputEnded = true;
        box.onInput?.();
      });
      socket.resume();
    } else if (exec !== undefined) this.runExec(exec, socket, tty);
  }

  private runExec(exec: { body: Record<string, unknown>; running: boolean; exitCode: number | null }, socket: Duplex, tty: boolean): void {
    const command = exec.body['Cmd'] as string[];
    exec.running = true;
    let handler: ((chunk: Buffer | null) => void) | null = null;
    const waiting: (Buffer | null)[] = [];
    const feed = (chunk: Buffer | null) => (handler === null ? void waiting.push(chunk) : handler(chunk));
    socket.on('data', feed);
    socket.on('end', () => feed(null));
    socket.resume();
    programs[command[0] as string]?.({
      tty,
      command,
      size: () => '',
      out: (text) => void socket.write(framed(tty, 1, text)),
      err: (text) => void socket.write(framed(tty, 2, text)),
      onInput: (given) => {
        handler = given;
        for (const chunk of waiting.splice(0)) given(chunk);
      },
      onSignal: () => undefined,
      exit: (code) => {
        socket.end();
        exec.running = false;
        exec.exitCode = code;
      },
    });
  }
}

function framed(tty: boolean, kind: number, text: string | Buffer): Buffer {
  const payload = Buffer.from(text as string);
  if (tty) return payload;
  const header = Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** What "runs" in a container of the stand-in, by the first word of its command. */
const programs: Readonly<Record<string, (run: Run) => void>> = {
  echo: (run) => {
    run.out(`${run.command.slice(1).join(' ')}\n`);
    run.exit(0);
  },
  both: (run) => {
    run.out('to stdout\n');
    run.err('to stderr\n');
    run.exit(7);
  },
  /** Answers only when input has ended: it needs the half-close. */
  cat: (run) => {
    const chunks: Buffer[] = [];
    run.onInput((chunk) => {
      if (chunk !== null) return void chunks.push(chunk);
      run.out(Buffer.concat(chunks));
      run.out('\nEOF\n');
      run.exit(0);
    });
  },
  flood: (run) => {
    for (let part = 0; part < 64; part++) run.out(Buffer.alloc(64 * 1024, 0x78));
    run.exit(0);
  },
  /** Ends with 100 when it gets TERM; tells every signal. */
  signals: (run) => {
    run.out('ready\n');
    run.onSignal((signal) => {
      run.out(`got ${signal}\n`);
      if (signal === 'TERM') run.exit(100);
    });
  },
  /** A shell of few words: `size`, `exit N`, everything else is said back. */
  sh: (run) => {
    run.out('$ ');
    let line = '';
    run.onInput((chunk) => {
      for (const char of (chunk ?? Buffer.from('\x04')).toString()) {
        if (char === '\x04') return run.exit(0);
        if (char === '\x03') run.out('^C\r\n$ ');
        else if (char !== '\r' && char !== '\n') {
          line += char;
          run.out(char);
        } else {
          const [word, value] = line.split(' ');
          if (word === 'exit') return run.exit(Number(value ?? 0));
          run.out(`\r\n${word === 'size' ? run.size() : `you said ${line}`}\r\n$ `);
          line = '';
        }
      }
    });
  },
};
