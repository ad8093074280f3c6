// Lines out of chunks, signal names, start ids out of stdout paths, ps narrowed to a container.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LineAssembler, maxLineBytes, timestamp } from '../../../services/agent/src/streams/lines.ts';
import { signalNumber } from '../../../services/agent/src/containers/signals.ts';
import { select } from '../../../services/agent/src/containers/top.ts';
import { startDirectory, startIdOfStdout } from '../../../services/agent/src/tasks/observed.ts';
import { logWriterUri } from '@pouch/native';

const chunk = (kind: 'stdout' | 'stderr', text: string, timeNs = 1n) => ({ kind, timeNs, data: Buffer.from(text) });

test('a line has the time of its first chunk', () => {
  const lines = new LineAssembler();
  assert.deepEqual(lines.push(chunk('stdout', 'he', 5n)), []);
  assert.deepEqual(lines.push(chunk('stdout', 'llo\nnext', 9n)).map(({ timeNs, data }) => [timeNs, data.toString()]), [[5n, 'hello\n']]);
  assert.deepEqual(lines.end().map(({ timeNs, data }) => [timeNs, data.toString()]), [[9n, 'next']]);
});

test('streams do not mix in a line', () => {
  const lines = new LineAssembler();
  lines.push(chunk('stdout', 'out'));
  assert.deepEqual(lines.push(chunk('stderr', 'err\n')).map(({ data }) => data.toString()), ['err\n']);
  assert.deepEqual(lines.push(chunk('stdout', '!\n')).map(({ data }) => data.toString()), ['out!\n']);
});

test('an endless line is cut', () => {
  const lines = new LineAssembler();
  const cut = lines.push(chunk('stdout', 'x'.repeat(maxLineBytes * 2 + 1)));
  assert.deepEqual(cut.map(({ data }) => data.length), [maxLineBytes, maxLineBytes]);
  assert.equal(lines.end()[0]?.data.length, 1);
});

test('times have nine digits', () => {
  assert.equal(timestamp(1_700_000_000_000_000_001n), '2023-11-14T22:13:20.000000001Z');
});

test('signals are known by every name', () => {
  assert.deepEqual(['SIGTERM', 'term', '15', 'SIGRTMIN', 'RTMIN+3', 'SIGRTMAX-1', 'NOPE', '0', '65'].map(signalNumber), [15, 15, 15, 34, 37, 63, null, null, null]);
});

test('a task tells its start by its stdout', () => {
  assert.equal(startIdOfStdout(logWriterUri({ dir: '/var/l o g', startId: 'a:b-1' })), 'a:b-1');
  for (const id of ['a:b-1', 'x1', 'with/slash', '../up', 'ü']) assert.equal(startIdOfStdout(`/run/io/c/${startDirectory(id)}/stdout`), id);
  assert.equal(startIdOfStdout('/dev/null'), null);
  assert.ok(!startDirectory('../up').includes('/'));
});

test('ps is narrowed to the container\'s processes', () => {
  const output = 'UID        PID  PPID CMD\nroot         1     0 /sbin/init splash\nroot        42     1 sleep  10\n';
  assert.deepEqual(select(output, new Set([42])), { titles: ['UID', 'PID', 'PPID', 'CMD'], processes: [['root', '42', '1', 'sleep 10']] });
  assert.throws(() => select('CMD\nx\n', new Set([1])), /PID/);
});
