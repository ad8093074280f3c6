// What a failed start means by its words: Docker's exit codes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFailure } from '../../../services/agent/src/containers/failures.ts';

const exitCodeOf = (words: string): number => startFailure(new Error(words)).exitCode;

test('127 where the command was not found, 126 where it may not be executed, 128 for all else', () => {
  assert.equal(exitCodeOf('OCI runtime create failed: exec: "nosuch": executable file not found in $PATH'), 127);
  assert.equal(exitCodeOf('exec: "/nosuch": stat /nosuch: no such file or directory'), 127);
  assert.equal(exitCodeOf('exec: "/etc/passwd": permission denied'), 126);
  assert.equal(exitCodeOf('OCI runtime create failed: QEMU was killed by signal 9'), 128);
});

test('a runtime that was cut short left no log, which says nothing of the command', () => {
  assert.equal(exitCodeOf('OCI runtime create failed: unable to retrieve OCI runtime error (open /run/task/log.json: no such file or directory): runc did not terminate successfully: signal: killed'), 128);
});
