// Bytes that come cut anywhere: frames, lines, server-sent events, detach keys; and addresses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Demultiplexer, FrameError } from '../../../packages/cli/src/engine/frames.ts';
import { jsonLines, maxLineLength, serverEvents, textLines } from '../../../packages/cli/src/engine/lines.ts';
import { toTarget } from '../../../packages/cli/src/engine/target.ts';
import { refused, unreachable } from '../../../packages/cli/src/engine/failures.ts';
import { errorLine, UsageError } from '../../../packages/cli/src/errors.ts';
import { runsShell } from '../../../packages/cli/src/settings/shell-image.ts';
import { DetachKeys, toDetachKeys } from '../../../packages/cli/src/terminal/detach-keys.ts';
import { startExitCode } from '../../../packages/cli/src/terminal/session.ts';

async function* cut(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}
const all = async <T>(source: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
};
const frame = (kind: number, text: string) => {
  const payload = Buffer.from(text);
  const header = Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

test('frames come apart the same wherever they are cut', () => {
  const stream = Buffer.concat([frame(1, 'out'), frame(2, 'err'), frame(1, ''), frame(1, 'more ü')]);
  for (let size = 1; size <= stream.length; size++) {
    const got = { stdout: '', stderr: '' };
    const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
    const frames = new Demultiplexer((name, chunk) => parts[name].push(Buffer.from(chunk)));
    for (let at = 0; at < stream.length; at += size) frames.push(stream.subarray(at, at + size));
    got.stdout = Buffer.concat(parts.stdout).toString();
    got.stderr = Buffer.concat(parts.stderr).toString();
    assert.deepEqual(got, { stdout: 'outmore ü', stderr: 'err' });
    assert.equal(frames.atBoundary, true);
  }
});

test('a frame of errors is thrown, and what is no frame is told', () => {
  const frames = new Demultiplexer(() => undefined);
  assert.throws(() => frames.push(frame(3, 'the daemon failed')), (error) => error instanceof FrameError && error.message === 'the daemon failed');
  assert.throws(() => new Demultiplexer(() => undefined).push(Buffer.from('plain text')), FrameError);
});

test('lines and JSON values, cut anywhere, with a bound', async () => {
  for (const size of [1, 2, 3, 100]) {
    assert.deepEqual(await all(textLines(cut('a\r\n\nüb\nrest', size))), ['a', '', 'üb', 'rest']);
    assert.deepEqual(await all(jsonLines(cut('{"a":1}\r\n\n{"b":"ü"}\n', size))), [{ a: 1 }, { b: 'ü' }]);
  }
  const endless = async function* () {
    for (;;) yield await Promise.resolve(Buffer.alloc(4 * 1024 * 1024, 0x61));
  };
  await assert.rejects(all(textLines(endless())), new RegExp(String(maxLineLength)));
});

test('server-sent events keep ids, join data and pass over comments and what was cut off', async () => {
  const text = ': hello\nretry: 500\nid: 7\nevent: error\ndata: {"a":\ndata: 1}\n\ndata:x\n\nid: 9\ndata: cut off';
  for (const size of [1, 5, 200]) {
    assert.deepEqual(await all(serverEvents(cut(text, size))), [
      { event: 'error', data: '{"a":\n1}', id: '7', retryMs: 500 },
      { event: 'message', data: 'x', id: '7', retryMs: 500 },
    ]);
  }
});

test('detach keys: read from words, found across chunks, a mere beginning is passed on', () => {
  assert.deepEqual([...toDetachKeys('ctrl-p,ctrl-q')], [16, 17]);
  assert.deepEqual([...toDetachKeys('ctrl-@,a,ctrl-[,ctrl-_')], [0, 97, 27, 31]);
  for (const wrong of ['', 'ctrl-', 'ctrl-1', 'ab', 'ctrl-p,,']) assert.throws(() => toDetachKeys(wrong), UsageError);
  const type = (keys: string, ...chunks: string[]) => {
    const filter = new DetachKeys(toDetachKeys(keys));
    let forwarded = '';
    for (const chunk of chunks) {
      const { forward, detached } = filter.push(Buffer.from(chunk));
      forwarded += Buffer.from(forward).toString();
      if (detached) return { forwarded, detached };
    }
    return { forwarded, detached: false };
  };
  assert.deepEqual(type('ctrl-p,ctrl-q', 'ab\x10', '\x11cd'), { forwarded: 'ab', detached: true });
  assert.deepEqual(type('ctrl-p,ctrl-q', 'ab\x10', 'c\x11'), { forwarded: 'ab\x10c\x11', detached: false });
  assert.deepEqual(type('ctrl-p,ctrl-q', '\x10\x10', '\x11'), { forwarded: '\x10', detached: true });
  assert.deepEqual(type('a,a,b', 'aaab'), { forwarded: 'a', detached: true });
});

test('addresses of the API', () => {
  assert.deepEqual(toTarget('unix:///run/p.sock'), { kind: 'unix', socketPath: '/run/p.sock' });
  assert.deepEqual(toTarget('tcp://h'), { kind: 'tcp', host: 'h', port: 2375, tls: null });
  assert.deepEqual(toTarget('tcp://[::1]:99'), { kind: 'tcp', host: '::1', port: 99, tls: null });
  assert.deepEqual(toTarget('https://h'), { kind: 'tcp', host: 'h', port: 2376, tls: {} });
  for (const wrong of ['', 'h:1', 'ftp://h', 'unix://relative', 'tcp://', 'tcp://h/path', 'tcp://h:99999']) assert.throws(() => toTarget(wrong), UsageError, wrong);
  assert.throws(() => toTarget('tcp://h', { tlscert: 'x' }), /go together/);
  assert.throws(() => toTarget('tcp://h', { tlscacert: '/nonexistent' }), /--tlscacert/);
});

test('failures are one sentence with a hint', () => {
  const failure = (code: string) => errorLine(unreachable({ kind: 'unix', socketPath: '/run/nowhere.sock' }, Object.assign(new Error('x'), { code })));
  assert.match(failure('ENOENT'), /no socket \/run\/nowhere\.sock.*npm run up/);
  assert.match(failure('EACCES'), /permission denied.*root/);
  assert.match(failure('ECONNREFUSED'), /nobody answers.*npm run up/);
  assert.equal(errorLine(refused(503, '{"message":"the log is away"}', { 'retry-after': '2' })), 'pouch: the log is away (try again in 2 s)');
  assert.equal(errorLine(refused(502, '<html>bad gateway</html>', {})), 'pouch: <html>bad gateway</html>');
  assert.equal(errorLine(refused(500, '', {})), 'pouch: the API answered 500');
});

test('exit codes of failed starts, and images that are a shell', () => {
  assert.equal(startExitCode('exec: "x": executable file not found in $PATH'), 127);
  assert.equal(startExitCode('exec /x: permission denied'), 126);
  assert.equal(startExitCode('no space left'), 125);
  assert.equal(runsShell({ Cmd: ['sh'] }), true);
  assert.equal(runsShell({ Entrypoint: ['/bin/bash'], Cmd: null }), true);
  assert.equal(runsShell({ Entrypoint: ['/docker-entrypoint.sh'], Cmd: ['nginx'] }), false);
  assert.equal(runsShell({ Cmd: ['sh', '-c', 'true'] }), false);
  assert.equal(runsShell(null), false);
});
