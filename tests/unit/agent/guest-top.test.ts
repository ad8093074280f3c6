// Which of ps' arguments the guest of a virtual machine can answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf } from '../../../services/agent/src/machines/top.ts';

const titles = (...args: string[]): string[] => columnsOf(args).map(([title]) => title);

test('the usual arguments have columns, and what a guest does not tell is refused with what it does', () => {
  assert.deepEqual(titles('-ef'), ['UID', 'PID', 'PPID', 'TIME', 'CMD']);
  assert.deepEqual(titles('aux'), ['USER', 'PID', 'RSS', 'TIME', 'COMMAND']);
  assert.deepEqual(titles('-eo', 'pid,args'), ['PID', 'COMMAND']);
  for (const wrong of [['-o', 'wchan'], ['-o'], ['--forest'], ['-o', 'constructor'], ['-ef', '-ef']]) assert.throws(() => titles(...wrong), { code: 'bad-parameter' });
});

test('CPU time is hours, minutes and seconds, memory is KiB', () => {
  const process = { pid: 7, parentPid: 1, uid: 0, startedAtMs: null, cpuMs: 3_723_900, residentBytes: 4_096, command: 'sleep 5' };
  assert.deepEqual(columnsOf(['-o', 'pid,time,rss,comm']).map(([, value]) => value(process)), ['7', '01:02:03', '4', 'sleep']);
});
