// pouch-init's end of the control channel under nonsense: whatever was sent, a HELLO brings a guest back that answers and has forgotten nothing
// it must know. One seed per run, told when it fails.
import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import type { Guest} from '../../fixtures/guest.ts';
import { frame, op, program, record, u16, u32, u64, usualMounts } from '../../fixtures/guest.ts';

const skip = await guestMissing();
const rounds = 60;

/** mulberry32: small and the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const noise = (random: (below: number) => number, length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)));

/** A valid frame of any operation but those that end the machine or the clock's meaning. */
function validFrame(random: (below: number) => number): Buffer {
  const id = 1000 + random(40);
  const script = ['exit 3', 'echo hello', 'cat', 'sleep 0.2', 'yes | head -c 100000'][random(5)] ?? '';
  const terminal = random(3) === 0 ? [record(5, u16(24, 80))] : [];
  switch (random(10)) {
    case 0: return frame(op.spawn, id, program(['/bin/sh', '-c', script], record(6), ...terminal));
    case 1: return frame(op.stdin, id, noise(random, random(3000)));
    case 2: return frame(op.stdinClose, id);
    case 3: return frame(op.credit, id, u32(random(3), random(100_000)));
    case 4: return frame(op.signal, id, u32(random(70), 0));
    case 5: return frame(op.winsize, id, u16(random(100), random(100)));
    case 6: return frame(op.ps, 0, u32(random(100)));
    case 7: return frame(op.stats, 0, u32(random(100)));
    case 8: return frame(op.prepare, 0, settings(random));
    default: return frame(op.configure, 0, Buffer.concat([record(random(20), noise(random, random(60))), record(7, noise(random, random(60)))]));
  }
}

/** Records of any tag that are right, nearly right or noise: what PREPARE is told of a root, mounts, files, links and rights. */
function settings(random: (below: number) => number): Buffer {
  const right = [...usualMounts('/dev/vdb'), record(5, 'ready'), record(16, Buffer.alloc(16, 7)), record(13, '/proc/kcore'), record(14, '/proc/sys'), record(4)];
  const parts = Array.from({ length: random(10) }, () => (random(3) === 0 ? record(random(20), noise(random, random(60))) : Buffer.from(right[random(right.length)] ?? '')));
  const all = Buffer.concat(parts);
  if (all.length > 0 && random(2) === 0) all[random(all.length)] = random(256);
  return random(5) === 0 ? all.subarray(0, random(all.length + 1)) : all;
}

/** Frames, some of them cut, lengthened or with bytes changed, some not frames at all. */
function nonsense(random: (below: number) => number): Buffer {
  const parts = Array.from({ length: 1 + random(12) }, () => {
    const bytes = validFrame(random);
    switch (random(8)) {
      case 0: return bytes.subarray(0, random(bytes.length));
      case 1: bytes[random(Math.min(12, bytes.length))] = random(256); return bytes;
      case 2: bytes[random(bytes.length)] = random(256); return bytes;
      case 3: return noise(random, random(500));
      case 4: bytes.writeUInt32LE([0, 0xffffffff, 1 << 20, (1 << 20) + 1, 32 << 10][random(5)] ?? 0); return bytes;
      case 5: return Buffer.alloc(random(200));
      default: return bytes;
    }
  });
  // POWEROFF and SIGNAL to all do what they say, and CLOCK is of no interest; ids of the test's own process are left alone.
  const all = Buffer.concat(parts);
  for (let at = 0; at + 12 <= all.length; at++) {
    if ((all[at + 4] === op.poweroff || all[at + 4] === op.clock || all[at + 4] === op.signal) && all[at + 5] === 0 && all[at + 6] === 0 && all[at + 7] === 0 && all.readUInt32LE(at + 8) < 1000) all[at + 4] = op.stats;
    if (all[at + 4] === op.signal && at + 16 < all.length) all[at + 16] = (all[at + 16] ?? 0) & 0xfe;
  }
  return all;
}

describe('the guest\'s end of the control channel', { skip }, () => {
  let kit: GuestKit;
  let guest: Guest;

  before(async () => {
    kit = await GuestKit.make();
    guest = await kit.boot([{ path: await kit.root(), readOnly: true }]);
    await guest.configure(...usualMounts());
    await guest.start(1, program(['/bin/sh', '-c', 'while read line; do echo "said $line"; done'], record(6)));
  });
  after(async () => {
    await guest?.close();
    await kit?.remove();
  });

  test('is not confused by random and mutated frames', async () => {
    const seed = randomInt(2 ** 31);
    const random = generator(seed);
    for (let round = 0; round < rounds; round++) {
      try {
        guest.raw(nonsense(random));
        if (random(3) === 0) {
          await guest.disconnect();
          await guest.connect();
        }
        await guest.hello(20_000);
        await guest.ping(20_000);
      } catch (cause) {
        throw new Error(`seed ${seed}, round ${round}: ${await guest.console()}`, { cause });
      }
    }
    guest.send(op.stdin, 1, Buffer.from('after all\n'));
    await guest.until('the first process to answer', () => guest.output(1).includes('said after all') || undefined);
    assert.doesNotMatch(await guest.console(), /segfault|Kernel panic/);
  });

  test('a frame longer than allowed is told, and nothing is taken until HELLO', async () => {
    await guest.hello();
    guest.raw(Buffer.concat([u32(0xfffffff0), Buffer.from([op.stdin, 0, 0, 0]), u32(1)]));
    const refused = await guest.until('the refusal', (frames) => frames.find((one) => one.op === op.error && one.id === 0));
    assert.match(refused.payload.toString('utf8', 8), /malformed frame/);
    guest.send(op.ping, 0, u32(1));
    await guest.hello();
    await guest.ping();
    assert.ok(!guest.frames.some((one) => one.op === op.pong && one.payload.equals(u32(1))));
  });

  test('a connection that ends within the longest frame is found again although the channel does not tell', async () => {
    guest.raw(Buffer.concat([u32(1 << 20), Buffer.from([op.spawn, 0, 0, 0]), u32(5000), Buffer.alloc(1000, 7)]));
    await guest.hello(30_000);
    await guest.ping();
  });

  test('the clock can be set and randomness stirred in at any time', async () => {
    guest.send(op.clock, 0, Buffer.concat([u64(BigInt(Date.UTC(2040, 0, 15)) * 1_000_000n), Buffer.alloc(32, 9)]));
    assert.equal(await guest.shell('date +%Y'), '2040\n');
  });

  test('PREPARE of nonsense before anything else: it is refused or done once, and the guest answers', async () => {
    const fresh = await kit.boot([{ path: await kit.root(), readOnly: true }]);
    const seed = randomInt(2 ** 31);
    const random = generator(seed);
    try {
      for (let round = 0; round < rounds; round++) {
        fresh.raw(frame(op.prepare, 0, settings(random)));
        if (random(2) === 0) fresh.raw(nonsense(random));
        await fresh.hello(20_000);
        await fresh.ping(20_000);
      }
      fresh.send(op.prepare, 0, Buffer.concat(usualMounts()));
      await fresh.until('an answer to the last one', (frames) => frames.find((one) => one.op === op.prepared || (one.op === op.error && one.payload.readUInt32LE(4) === op.prepare)));
      assert.doesNotMatch(await fresh.console(), /segfault|Kernel panic/);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${await fresh.console()}`, { cause });
    } finally {
      await fresh.close();
    }
  });

  test('an orderly power-off asks first, and kills who does not go in time', async () => {
    const polite = guest.newId();
    const stubborn = guest.newId();
    await guest.start(polite, program(['/bin/sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done']));
    await guest.start(stubborn, program(['/bin/sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done']));
    for (const id of [polite, stubborn]) await guest.until('it to be up', () => guest.output(id).includes('up') || undefined);
    guest.send(op.poweroff, 0, u32(700));
    assert.equal((await guest.ended(polite)).status, 9);
    assert.equal((await guest.answer(op.exited, stubborn)).payload.readUInt32LE(0), 137);
    assert.equal(await guest.gone(), true);
  });
});
