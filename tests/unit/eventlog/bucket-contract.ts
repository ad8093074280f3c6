// What buckets, and claims over them, must do; run in memory and over JetStream. Not a test file by itself.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BucketClaims, type Bucket, type Claim } from '@pouch/eventlog';
import { until } from './log-contract.ts';

interface Holder {
  readonly containerId: string;
}

/** `open` gives always the same bucket, without a lifetime of entries. */
export function bucketContract(name: string, open: () => Promise<Bucket>): void {
  const claims = async () => new BucketClaims<Holder>(await open());
  const a = { containerId: 'a' };
  const b = { containerId: 'b' };

  describe(`bucket and claims contract: ${name}`, () => {
    test('writes, reads and removes by revision only', async () => {
      const bucket = await open();
      assert.equal(await bucket.get('k'), null);
      const one = (await bucket.put('k', 'v1', 0)) ?? assert.fail();
      assert.equal(await bucket.put('k', 'v2', 0), null);
      const two = (await bucket.put('k', 'v2', one)) ?? assert.fail();
      assert.ok(two > one);
      assert.equal(await bucket.remove('k', one), false);
      assert.deepEqual(await bucket.get('k'), { key: 'k', value: 'v2', revision: two });
      assert.equal(await bucket.remove('k', two), true);
      assert.equal(await bucket.get('k'), null);
      assert.equal(await bucket.remove('k', two), false);
      const three = (await bucket.put('k', 'v3', 0)) ?? assert.fail();
      assert.ok(three > two);
    });

    test('any text is a key', async () => {
      const bucket = await open();
      const keys = ['a.b', 'a..b', '.a', 'a.', 'ä', 'A-_=', 'x y', '*', '>', '\u0000', '日本', 'a'.repeat(512)];
      for (const key of keys) assert.ok((await bucket.put(key, JSON.stringify(key), 0)) !== null, key);
      for (const key of keys) assert.equal((await bucket.get(key))?.value, JSON.stringify(key));
      const listed: string[] = [];
      for await (const entries of bucket.list()) listed.push(...entries.map(({ key }) => key));
      assert.deepEqual(listed.filter((key) => keys.includes(key)).sort(), [...keys].sort());
      await assert.rejects(bucket.get(''), TypeError);
      await assert.rejects(bucket.put('a'.repeat(513), '""', 0), TypeError);
    });

    test('a name has one holder', async () => {
      const names = await claims();
      const first = await names.claim('web', a);
      assert.ok(first.ok);
      assert.deepEqual(await names.claim('web', a), first);
      assert.deepEqual(await names.claim('web', b), { ok: false, taken: { key: 'web', value: a, revision: first.revision } });
      assert.deepEqual(await names.get('web'), { key: 'web', value: a, revision: first.revision });
    });

    test('of many who claim one wins', async () => {
      const names = await claims();
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, at) => names.claim('raced', { containerId: String(at) })));
      assert.equal(outcomes.filter(({ ok }) => ok).length, 1);
    });

    test('is taken over and let go by the revision that was read', async () => {
      const names = await claims();
      const first = await names.claim('db', a);
      assert.ok(first.ok);
      const second = await names.takeOver('db', b, first.revision);
      assert.ok(second.ok);
      assert.deepEqual(await names.takeOver('db', a, first.revision), { ok: false, taken: { key: 'db', value: b, revision: second.revision } });
      assert.equal(await names.release('db', first.revision), false);
      assert.equal(await names.release('db', second.revision), true);
      assert.equal(await names.get('db'), null);
      // Taking over what was let go meanwhile is claiming it.
      assert.ok((await names.takeOver('db', a, second.revision)).ok);
    });

    test('is free again at once, many times over, and leaves nothing behind', async () => {
      const names = await claims();
      for (let round = 0; round < 50; round++) {
        const claimed = await names.claim('again', { containerId: String(round) });
        assert.ok(claimed.ok, `round ${round}`);
        assert.equal(await names.release('again', claimed.revision), true);
      }
      const listed: Claim<Holder>[] = [];
      for await (const some of names.list()) listed.push(...some);
      assert.equal(listed.some(({ key }) => key === 'again'), false);
      assert.ok(listed.some(({ key }) => key === 'web'));
      await until('the name is unknown', async () => (await names.get('again')) === null);
    });
  });
}
