// What of a machine's console is told as the reason of its failure.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consoleLines, fatalLine, tellingLine } from '../../../packages/runv/src/machine/console.ts';

const panic = '[    0.000000] Linux version 6.1\r\n\u001b[2J[    1.5] VFS: Unable to mount root fs on unknown-block(0,0)\r\n[    1.6] Kernel panic - not syncing: VFS: Unable to mount root fs\n[    1.7] CPU: 0 PID: 1\n[    1.8] ---[ end Kernel panic - not syncing: VFS ]---\n';

test('the first line of a panic, not the trace behind it; without a panic the last line', () => {
  assert.equal(fatalLine(consoleLines(panic)), 'Kernel panic - not syncing: VFS: Unable to mount root fs');
  assert.equal(tellingLine(['FATAL: kernel too old', 'reboot: Power down']), 'FATAL: kernel too old');
  assert.deepEqual([fatalLine(['one', 'two']), tellingLine(['one', 'two']), tellingLine([])], [undefined, 'two', undefined]);
  assert.equal(tellingLine([`Out of memory: ${'x'.repeat(10_000)}`])?.length, 500);
});
