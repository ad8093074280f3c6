// Secrets through a whole cluster: in by pouch and by docker, as files of a tmpfs in containers and machines, and nowhere else. What is planted is looked for
// in logs, the whole log of events, databases, the store, inspect and every other file of the cluster.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseJoinToken } from '@pouch/contracts';
import { memberFiles, readAuthority } from '@pouch/membership';
import { newKeyFile } from '@pouch/sealing';
import { authorityFile, memberDirectory, secretsKeyFile } from '../../../scripts/cluster/options.ts';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { guestMissing } from '../../fixtures/guest-boot.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';

const skip = unavailable();
const noGuest = skip || (await guestMissing());
let on: Clients;
const planted: { readonly what: string; readonly text: string }[] = [];
/** A secret that is found again wherever it leaks to. */
function plant(what: string): string {
  const text = `PLANTED-${randomBytes(24).toString('hex')}`;
  planted.push({ what, text });
  return text;
}
const sum = (text: string): string => createHash('sha256').update(text).digest('hex');

before(async () => { if (skip === false) on = new Clients(await startTestCluster({ logLevel: 'trace', ...(noGuest === false ? { machines: true } : {}) })); });
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

describe('secrets', { skip, timeout: 600_000 }, () => {
  test('a container finds them in /run/secrets, on a tmpfs, with the mode that was asked for', async () => {
    const text = plant('a secret by pouch');
    const made = await on.tryPouch(['secret', 'create', 'db.pass_word', '-l', 'team=a'], text);
    assert.deepEqual([made.code, made.stdout], [0, 'db~pass_word\n'], made.stderr);
    assert.match((await on.tryPouch(['run', '--rm', '--secret', 'db.pass_word', '--secret', 'db.pass_word,target=other', 'busybox', 'true'])).stderr, /given twice/);
    await on.tryPouch(['secret', 'create', 'second'], text);
    await on.p('run', '-d', '--name', 'with', '--secret', 'db.pass_word', '--secret', 'second,target=other,mode=0400,uid=7', '--network', 'none', 'busybox', 'sleep', '1000000');
    assert.equal((await on.p('exec', 'with', 'sha256sum', '/run/secrets/db.pass_word')).split(' ')[0], sum(text));
    assert.match(await on.p('exec', 'with', 'stat', '-c', '%a %u %n', '/run/secrets/other'), /^400 7 /);
    assert.match(await on.p('exec', 'with', 'grep', ' /run/secrets', '/proc/mounts'), / \/run\/secrets tmpfs /);
    assert.notEqual((await on.tryPouch(['exec', 'with', 'sh', '-c', 'echo x > /run/secrets/db.pass_word'])).code, 0, 'they are not to be written to');
    assert.match((await on.tryPouch(['secret', 'rm', 'db.pass_word'])).stderr, /is used by with/);
    await on.p('restart', '-t', '0', 'with');
    assert.equal((await on.p('exec', 'with', 'sha256sum', '/run/secrets/db.pass_word')).split(' ')[0], sum(text));
  });

  test('opened files are there only while the container runs', async () => {
    const { id } = JSON.parse(`{"id":"${await on.p('inspect', '-f', '{{.Id}}', 'with')}"}`) as { id: string };
    const directory = join(on.cluster.config.run, 'agent', 'secrets');
    assert.deepEqual(readdirSync(join(directory, id)).sort(), ['db.pass_word', 'other']);
    await on.p('stop', '-t', '0', 'with');
    await eventually('the files are gone', () => !readdirSync(directory).includes(id));
    await on.p('start', 'with');
  });

  test('docker makes, lists, inspects and removes them; a label gives one to a container', { skip: unavailable('docker') }, async () => {
    const text = plant('a secret by docker');
    assert.equal((await on.tryDocker(['secret', 'create', 'by-docker', '-'], text)).code, 0);
    assert.match(await on.d('secret', 'ls'), /by-docker/);
    assert.equal(await on.d('secret', 'inspect', '-f', '{{.Spec.Name}}', 'by-docker'), 'by-docker');
    assert.equal((await on.run(['--label', 'io.pouch.secret.by-docker=target=/run/secrets/x'], 'sha256sum', '/run/secrets/x')).split(' ')[0], sum(text));
    const wrong = await on.tryDocker(['run', '--rm', '--label', 'io.pouch.secret.nope=', 'busybox', 'true']);
    assert.match(wrong.stderr, /there is no secret "nope"/);
    assert.match((await on.tryDocker(['run', '--rm', '--label', 'io.pouch.secret.by-docker=target=../x', 'busybox', 'true'])).stderr, /must be target=FILE/);
    await on.d('secret', 'rm', 'by-docker');
    assert.equal(await on.p('secret', 'ls', '--format', '{{.Name}}'), 'db.pass_word\nsecond');
  });

  test('a machine gets them on a tmpfs of its own kernel', { skip: noGuest }, async () => {
    const text = plant('a secret for a machine');
    await on.tryPouch(['secret', 'create', 'machine'], text);
    const [first, ...mounts] = (await on.p('run', '--rm', '--runtime', 'runv', '--secret', 'machine,mode=0400', '--network', 'none', 'busybox', 'sh', '-c', 'sha256sum < /run/secrets/machine; stat -c %a /run/secrets/machine; grep secrets /proc/mounts')).split('\n');
    assert.equal(first?.split(' ')[0], sum(text));
    assert.equal(mounts[0], '400');
    assert.match(mounts.join('\n'), / \/run\/secrets tmpfs /);
  });

  test('keys are replaced while containers have secrets', async () => {
    const path = secretsKeyFile(on.cluster.config);
    const before = await readFile(path, 'utf8');
    planted.push({ what: 'a cluster key', text: before.trim() });
    const young = newKeyFile();
    planted.push({ what: 'the new cluster key', text: young.trim() });
    await writeFile(path, `${young}${before}`);
    assert.match(await on.p('secret', 'reseal'), /^[1-9]\d* secrets were sealed again/);
    await writeFile(path, young);
    await on.p('restart', '-t', '0', 'with');
    assert.equal((await on.p('exec', 'with', 'stat', '-c', '%a', '/run/secrets/db.pass_word')), '444');
    assert.match(await on.p('secret', 'reseal'), /^0 secrets/);
  });

  test('nothing that was planted is anywhere but where it belongs', async () => {
    const token = await on.p('cluster', 'token', 'create', 'planted', '-q');
    planted.push({ what: 'a token', text: token });
    const { config } = on.cluster;
    const joinToken = await on.p('cluster', 'join-token', '-q');
    const parts = parseJoinToken(joinToken);
    assert.ok(parts !== null);
    planted.push({ what: 'a join token', text: joinToken }, { what: 'the secret of a join token', text: parts.secret }, { what: 'the seed of a join token', text: parts.seed });
    const authority = await readAuthority(authorityFile(config));
    assert.ok(authority !== null);
    for (const [name, seed] of Object.entries(authority.keys)) planted.push({ what: `the cluster's ${name}`, text: String(seed) });
    planted.push({ what: "the key of the servers' authority", text: authority.certificates.key.split('\n')[1] ?? '' });
    for (const kind of ['api', 'scheduler', 'agent'] as const) planted.push({ what: `the seed of the ${kind}`, text: /NKEY SEED-----\s+(S\S+)/.exec(await readFile(memberFiles(memberDirectory(config)).creds(kind), 'utf8'))?.[1] ?? assert.fail() });
    // Also where it is shown to the wrong door, in a body that is no JSON, and in a field of the wrong type.
    const password = plant('a registry password');
    await on.http('GET', '/_ping', { headers: { authorization: `Bearer ${token}` } });
    await on.http('GET', '/_ping', { headers: { authorization: `Bearer ${token}0` } });
    const odd = plant('a secret in a bad body');
    for (const body of [{ Name: '!', Data: odd }, { Name: 'odd', Data: `${odd}*` }, { Name: 'odd', Data: [odd] }, { Name: 'odd', Data: Buffer.from(odd).toString('base64'), Driver: { Name: 'x' } }]) {
      const { status, text } = await on.http('POST', '/secrets/create', { body });
      assert.deepEqual([status, text.includes(odd)], [400, false], text);
    }
    await on.http('POST', '/images/create?fromImage=127.0.0.1:1/x', { headers: { 'x-registry-auth': Buffer.from(JSON.stringify({ username: 'u', password })).toString('base64url') } });
    const forms = planted.flatMap(({ what, text }) => [text, Buffer.from(text).toString('base64'), Buffer.from(text).toString('hex')].map((form) => ({ what, form })));
    const found: string[] = [];
    const look = (where: string, bytes: Buffer | string): void => {
      for (const { what, form } of forms) if (bytes.includes(form)) found.push(`${what} in ${where}`);
    };
    look('the log', (await on.http('GET', '/cluster/events?follow=0&afterSeq=0')).text);
    for (const path of ['/containers/with/json', '/cluster/containers/with', '/secrets', '/secrets/second', '/cluster/tokens', '/cluster/join-tokens', '/info', '/cluster/hosts', '/containers/json?all=1', '/cluster/containers/with/history']) look(path, (await on.http('GET', path)).text);
    // Larger ones are the empty disks of machines.
    const wholeBytes = 2 ** 28;
    const kept = new Set([secretsKeyFile(config), authorityFile(config), memberDirectory(config), join(config.run, 'agent', 'secrets')]);
    let files = 0;
    const walk = (directory: string): void => {
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        const path = join(directory, entry.name);
        // Layers and mounted roots are the image's and the containers' own.
        if (kept.has(path) || /\/(?:snapshots|rootfs|netns)$/.test(path)) continue;
        if (entry.isDirectory()) walk(path);
        else if (entry.isFile()) {
          files += 1;
          try {
            if (statSync(path).size < wholeBytes) look(path, readFileSync(path));
          } catch (error) {
            // A file that went meanwhile holds nothing any more.
            if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
          }
        }
      }
    };
    for (const directory of [config.data, config.run, config.logs]) walk(directory);
    assert.ok(files > 20, `${files} files were looked into`);
    assert.deepEqual(found, []);
    // The search itself finds what is there.
    look('where it belongs', readFileSync(join(config.run, 'agent', 'secrets', await on.p('inspect', '-f', '{{.Id}}', 'with'), 'other')));
    assert.equal(found.length, 1);
    assert.match(await on.p('cluster', 'verify'), /agree/);
  });
});
