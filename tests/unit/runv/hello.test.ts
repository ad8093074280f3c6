// What a guest's first answer says, and the rate of the host's counter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findHello, helloFrame, lackingOf } from '../../../packages/runv/src/machine/hello.ts';
import { tscKHzOf } from '../../../packages/runv/src/machine/host-clock.ts';
import { frame, op, words } from '../../fixtures/frames.ts';

const nonce = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const answer = (features: number, of: Buffer = nonce): Buffer => frame(op.hello, 0, Buffer.concat([words(0x48435550, 2), of, words(features)]));

test('the greeting is zeros and a HELLO', () => {
  assert.ok(helloFrame(nonce).equals(Buffer.concat([Buffer.alloc(64), frame(op.hello, 0, Buffer.concat([words(0x48435550, 2), nonce]))])));
});

test('the answer is found behind noise, and only with our nonce', () => {
  assert.equal(findHello(Buffer.concat([Buffer.from('stray bytes\n'), answer(31)]), nonce), 31);
  assert.equal(findHello(answer(31, Buffer.alloc(16)), nonce), undefined);
  assert.equal(findHello(answer(31).subarray(0, -1), nonce), undefined);
  assert.equal(findHello(Buffer.alloc(0), nonce), undefined);
});

test('what is lacking is named', () => {
  assert.deepEqual(lackingOf(31), []);
  assert.deepEqual(lackingOf(0), ['overlay', 'erofs', 'virtiofs', 'seccomp', 'multiport']);
  assert.deepEqual(lackingOf(15), ['multiport']);
});

test('the counter runs at the nominal rate on bare metal, at the rate shown in a virtual machine', () => {
  const cpu = (model: string, mhz: string, flags: string): string => `model name\t: ${model}\ncpu MHz\t\t: ${mhz}\nflags\t\t: fpu ${flags} tsc\n`;
  assert.equal(tscKHzOf(cpu('Some CPU @ 2.60GHz', '1200.000', 'vme')), 2_600_000);
  assert.equal(tscKHzOf(cpu('Some CPU @ 2.60GHz', '2596.124', 'hypervisor')), 2_596_124);
  assert.equal(tscKHzOf(cpu('Some CPU', '3000.5', 'vme')), 3_000_500);
  assert.equal(tscKHzOf(''), 0);
});
