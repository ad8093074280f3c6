// The files of a cluster's authority and of a machine's membership: made once, made again where they do not fit, and for their owner only.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { NatsRole } from '@pouch/contracts';
import { hostId } from '@pouch/domain';
import { memberFiles, provideAuthority, provideMember, readAuthority, type Authority } from '@pouch/membership';

const dayMs = 86_400_000;
const nowMs = Date.now();
const roles: readonly NatsRole[] = [{ kind: 'api' }, { kind: 'agent', hostId: hostId('first') }];
const serverNames = ['localhost', '10.0.0.1'];
let directory: string;
let authority: Authority;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-files-'));
  authority = await provideAuthority(join(directory, 'authority.json'), nowMs);
});
after(async () => { await rm(directory, { recursive: true, force: true }); });

const text = async (path: string): Promise<string> => await readFile(path, 'utf8');
const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test('an authority is made once', async () => {
  assert.deepEqual(await provideAuthority(join(directory, 'authority.json'), nowMs), authority);
  assert.equal(await mode(join(directory, 'authority.json')), 0o600);
  assert.equal(await readAuthority(join(directory, 'none.json')), null);
  await writeFile(join(directory, 'odd.json'), '{"keys":"SECRET"');
  await assert.rejects(readAuthority(join(directory, 'odd.json')), (error: Error) => /not the file of a cluster's authority/.test(error.message) && !error.message.includes('SECRET'));
});

test('what fits stays, and what does not is made again', async () => {
  const member = join(directory, 'member');
  const files = await provideMember(member, authority, { roles, serverNames }, nowMs);
  const all = [files.ca, files.serverCert, files.serverKey, files.creds('api'), files.creds('agent')];
  const made = await Promise.all(all.map(text));
  for (const secret of [files.serverKey, files.creds('api'), files.creds('agent')]) assert.equal(await mode(secret), 0o600);
  assert.equal(await mode(member), 0o700);
  const again = async (wanted: Parameters<typeof provideMember>[2], atMs = nowMs, by = authority): Promise<boolean[]> => {
    await provideMember(member, by, wanted, atMs);
    const changed = await Promise.all(all.map(async (file, at) => (await text(file)) !== made[at]));
    for (const [at, file] of all.entries()) made[at] = await text(file);
    return changed;
  };
  assert.deepEqual(await again({ roles, serverNames }), [false, false, false, false, false]);
  assert.deepEqual(await again({ roles, serverNames: [...serverNames, 'other'] }), [false, true, true, false, false]);
  assert.deepEqual(await again({ roles, serverNames }, nowMs + 600 * dayMs), [false, true, true, false, false], 'a third of its life before its end');
  assert.deepEqual(await again({ roles: [{ kind: 'api' }, { kind: 'agent', hostId: hostId('second') }], serverNames }, nowMs + 600 * dayMs), [false, false, false, false, true]);
  const other = await provideAuthority(join(directory, 'other.json'), nowMs);
  assert.deepEqual(await again({ roles, serverNames }, nowMs, other), [true, true, true, true, true]);
});

test("a server's certificate serves other servers, too, and has the authority's behind it", async () => {
  const member = join(directory, 'server');
  await provideMember(member, authority, { roles: [], serverNames }, nowMs);
  const chain = await text(memberFiles(member).serverCert);
  assert.ok(chain.endsWith(authority.certificates.cert));
  const own = new X509Certificate(chain);
  assert.deepEqual(own.keyUsage?.toSorted(), ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.ok(own.verify(new X509Certificate(authority.certificates.cert).publicKey));
});
