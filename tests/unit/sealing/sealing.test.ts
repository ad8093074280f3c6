// Sealing under one of several keys, and the file that holds them: what opens, what does not, and that errors hold nothing of what is kept.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KeyFile, KeyFileError, Keyring, newKeyFile, SealedError, sealOverheadBytes } from '@pouch/sealing';

const context = { name: 'db', generation: 'g1' };
const plain = Buffer.from('the very secret');

test('what is sealed opens for its own context only, with any of the keys, and every changed bit is found', () => {
  const [old, young] = [randomBytes(32), randomBytes(32)];
  const sealed = new Keyring([old]).seal(plain, context);
  assert.equal(sealed.length, plain.length + sealOverheadBytes);
  assert.ok(!sealed.includes(plain));
  assert.deepEqual(new Keyring([young, old]).open(sealed, context), plain);
  assert.notDeepEqual(new Keyring([old]).seal(plain, context), sealed, 'the nonce is new each time');
  const refused = (keys: Buffer[], bytes: Uint8Array, of = context) => assert.throws(() => new Keyring(keys).open(bytes, of), (error: unknown) => error instanceof SealedError && !String(error).includes(plain.toString()));
  refused([young], sealed);
  refused([old], sealed, { ...context, name: 'other' });
  refused([old], sealed, { ...context, generation: 'g2' });
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    refused([old], changed);
  }
  for (const length of [0, 1, sealOverheadBytes - 1, sealed.length - 1]) refused([old], sealed.subarray(0, length));
});

test('the key file is its owner’s, is read again when it changes, and its text is in no error', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-keys-'));
  try {
    const path = join(directory, 'keys');
    const file = new KeyFile(path);
    assert.throws(() => file.keyring(), KeyFileError);
    const first = newKeyFile();
    await writeFile(path, first, { mode: 0o600 });
    const sealed = file.keyring().seal(plain, context);
    await writeFile(path, `# the young one seals\n${newKeyFile()}\n${first}`);
    assert.deepEqual(file.keyring().open(sealed, context), plain);
    for (const text of ['', '# nothing', 'c2hvcnQ=', `${first.trim()}x`]) {
      await writeFile(path, text);
      assert.throws(() => file.keyring(), (error: unknown) => error instanceof KeyFileError && !(text !== '' && String(error).includes(text)), text);
    }
    await writeFile(path, first);
    await chmod(path, 0o640);
    assert.throws(() => file.keyring(), /chmod 600/);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
