// pouch-files on a root that it mounts itself: it sees nothing of the host, whatever its input and the links in the way say; what it mounts goes with it.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeFileEntry, entryOf, FilesError, FilesHelper, FilesOp, FileType, type FilesRoot, type NewFile } from '@pouch/native';
import { ensureNative, temporaryDirectory } from '../../fixtures/native.ts';

const skip = process.getuid?.() === 0 ? false : 'mounts need root';
const options = { skip, timeout: 60_000 };
let directory: { path: string; remove: () => Promise<void> };
let host: string;
let root: string;

before(async () => {
  await ensureNative();
  directory = await temporaryDirectory();
  [host, root] = [join(directory.path, 'host'), join(directory.path, 'root')];
  await mkdir(join(root, 'etc'), { recursive: true });
  await mkdir(join(directory.path, 'target'));
  await mkdir(host);
  await writeFile(join(host, 'secret'), 'of the host');
  await writeFile(join(root, 'etc/hosts'), 'of the container');
  await symlink('/etc', join(root, 'absolute'));
  await symlink(`../../../../../../..${host}`, join(root, 'outward'));
});
after(async () => { await directory?.remove(); });

const mounted = (different: Partial<Extract<FilesRoot, { kind: 'mount' }>> = {}): FilesRoot =>
  ({ kind: 'mount', type: 'bind', source: root, data: '', directory: '/', target: join(directory.path, 'target'), readonly: false, binds: [], ...different });

async function withHelper<T>(writing: boolean, work: (helper: FilesHelper) => Promise<T>, which: FilesRoot = mounted()): Promise<T> {
  const helper = new FilesHelper(which, { writing });
  try {
    await helper.expect(FilesOp.opened);
    await helper.send(FilesOp.go);
    return await work(helper);
  } finally {
    await helper.end();
  }
}

async function read(path: string, which?: FilesRoot): Promise<Map<string, string>> {
  return await withHelper(false, async (helper) => {
    await helper.send(FilesOp.read, Buffer.from(path));
    await helper.expect(FilesOp.found);
    const found = new Map<string, string>();
    for (let last = ''; ;) {
      const { op, payload } = await helper.next();
      if (op === FilesOp.end) return found;
      if (op === FilesOp.entry) {
        const entry = entryOf(payload);
        last = entry.path.toString();
        found.set(last, entry.link.length > 0 ? `→ ${entry.link.toString()}` : '');
      } else found.set(last, (found.get(last) ?? '') + payload.toString());
    }
  }, which);
}

const file = (path: string, different: Partial<NewFile> = {}): NewFile => ({
  mode: FileType.regular | 0o640, uid: 12, gid: 34, major: 0, minor: 0, mtimeSeconds: 1_000, mtimeNanoseconds: 0, sizeBytes: 0, path: Buffer.from(path), link: Buffer.alloc(0), capability: Buffer.alloc(0), ...different,
});

/** `flags`: 1 for no overwriting. */
async function write(path: string, files: readonly { readonly file: NewFile; readonly data?: string }[], { flags = 0, which = mounted() }: { flags?: number; which?: FilesRoot } = {}): Promise<void> {
  await withHelper(true, async (helper) => {
    await helper.send(FilesOp.extract, Buffer.concat([Buffer.from([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(path)]));
    await helper.expect(FilesOp.ready);
    for (const { file: one, data } of files) {
      await helper.send(FilesOp.entry, encodeFileEntry(data === undefined ? one : { ...one, sizeBytes: data.length }));
      if (data !== undefined) await helper.send(FilesOp.data, Buffer.from(data));
    }
    await helper.send(FilesOp.end);
    await helper.expect(FilesOp.end);
  }, which);
}

const failsWith = (code: string) => (error: unknown): boolean => error instanceof FilesError && error.code === code;

test('links lead where they lead inside the root, however many dots they have', options, async () => {
  assert.deepEqual([...await read('/absolute/hosts')], [['', 'of the container']]);
  assert.deepEqual([...await read('/absolute/')], [['', ''], ['hosts', 'of the container']]);
  await assert.rejects(read('/outward/secret'), failsWith('ENOENT'));
  await assert.rejects(read(`${host}/secret`), failsWith('ENOENT'));
  await assert.rejects(read('/../../../../..' + host + '/secret'), failsWith('ENOENT'));
  await assert.rejects(read('/etc/hosts/'), failsWith('ENOTDIR'));
  assert.deepEqual([...await read('/outward')], [['', `→ ../../../../../../..${host}`]]);
});

test('names that lead out are refused by the program itself, whoever speaks to it', options, async () => {
  for (const name of ['../x', 'a/../../x', '/x', '..']) await assert.rejects(write('/etc', [{ file: file(name), data: 'x' }]), failsWith('EINVAL'), name);
  await assert.rejects(write('/etc', [{ file: file('l', { mode: FileType.hardLink, link: Buffer.from('../../x') }) }]), failsWith('EINVAL'));
  await assert.rejects(write('/outward', [{ file: file('x'), data: 'x' }]), failsWith('ENOENT'));
  assert.deepEqual(await readdir(host), ['secret']);
});

test('a file that is written through a link that came before it stays in the root', options, async () => {
  await write('/', [{ file: file('way', { mode: FileType.symbolicLink | 0o777, link: Buffer.from(host) }) }]);
  await assert.rejects(write('/', [{ file: file('way/evil'), data: 'x' }]));
  await write('/', [{ file: file('way', { mode: FileType.symbolicLink | 0o777, link: Buffer.from('/etc') }) }, { file: file('way/inside'), data: 'y' }]);
  assert.equal(await readFile(join(root, 'etc/inside'), 'utf8'), 'y');
  assert.deepEqual(await readdir(host), ['secret']);
});

test('owner, mode and time are as told; a directory keeps its time; missing directories come', options, async () => {
  await write('/etc', [{ file: file('new/deep/f', { mode: FileType.regular | 0o4751 }), data: 'hello' }]);
  const { mode, uid, gid, mtimeMs } = await stat(join(root, 'etc/new/deep/f'));
  assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o4751, 12, 34, 1_000_000]);
  assert.equal((await stat(join(root, 'etc/new'))).mode & 0o777, 0o755);
});

test('a file that is cut off is taken away', options, async () => {
  const helper = new FilesHelper(mounted(), { writing: true });
  await helper.expect(FilesOp.opened);
  await helper.send(FilesOp.go);
  await helper.send(FilesOp.extract, Buffer.concat([Buffer.alloc(12), Buffer.from('/etc')]));
  await helper.expect(FilesOp.ready);
  await helper.send(FilesOp.entry, encodeFileEntry(file('half', { sizeBytes: 2 ** 52 })));
  await helper.send(FilesOp.data, Buffer.from('the beginning'));
  await helper.end();
  await assert.rejects(stat(join(root, 'etc/half')), { code: 'ENOENT' });
});

test('a directory is not replaced by a file where that was asked for, and is where it was not', options, async () => {
  await mkdir(join(root, 'etc/dir/below'), { recursive: true });
  await assert.rejects(write('/etc', [{ file: file('dir'), data: 'x' }], { flags: 1 }), (error) => error instanceof FilesError && /cannot overwrite directory "dir"/.test(error.message));
  await assert.rejects(write('/etc', [{ file: file('hosts', { mode: FileType.directory | 0o755 }) }], { flags: 1 }), /cannot overwrite non-directory "hosts"/);
  await write('/etc', [{ file: file('dir'), data: 'x' }]);
  assert.equal(await readFile(join(root, 'etc/dir'), 'utf8'), 'x');
});

test('a read-only root and a read-only bind are refused; a bind is seen where it is mounted', options, async () => {
  const volume = join(directory.path, 'volume');
  await mkdir(volume, { recursive: true });
  await writeFile(join(volume, 'v'), 'of the volume');
  const bind = { source: volume, target: '/data/of/it', readonly: true, recursive: true };
  assert.deepEqual([...await read('/data/of/it', mounted({ binds: [bind] }))], [['', ''], ['v', 'of the volume']]);
  await assert.rejects(write('/data/of/it', [], { which: mounted({ binds: [bind] }) }), failsWith('EROFS'));
  await assert.rejects(write('/etc', [], { which: mounted({ readonly: true }) }), (error) => error instanceof FilesError && error.message === 'container rootfs is marked read-only');
  await write('/data/of/it', [{ file: file('w'), data: 'w' }], { which: mounted({ binds: [{ ...bind, readonly: false }] }) });
  assert.deepEqual(await readdir(volume), ['v', 'w']);
});

test('while it runs the host sees none of its mounts, and it has none of the host\'s rights', options, async () => {
  await withHelper(false, async (helper) => {
    await helper.send(FilesOp.stat, Buffer.from('/etc'));
    await helper.expect(FilesOp.found);
    assert.doesNotMatch(await readFile('/proc/self/mountinfo', 'utf8'), new RegExp(directory.path));
  });
  await withHelper(true, async (helper) => {
    await helper.send(FilesOp.extract, Buffer.concat([Buffer.alloc(12), Buffer.from('/etc')]));
    await helper.expect(FilesOp.ready);
    const status = await readFile(`/proc/${helper.pid}/status`, 'utf8');
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP.
    assert.match(status, /CapEff:\t000000008800001b\nCapBnd:\t0000000000000000/);
    assert.match(status, /NoNewPrivs:\t1/);
    assert.deepEqual((await readdir(`/proc/${helper.pid}/root`)).toSorted(), (await readdir(root)).toSorted());
  });
});

test('a program that is not there is told as such', options, async () => {
  const helper = new FilesHelper(mounted(), { writing: false, path: join(directory.path, 'nothing') });
  await assert.rejects(helper.expect(FilesOp.opened), (error) => error instanceof FilesError && error.code === 'HELPER_DIED' && /could not be started/.test(error.message));
  await helper.end();
});

test('a process that has the root of the host is not entered', options, async () => {
  await assert.rejects(withHelper(false, async () => undefined, { kind: 'process', pid: process.pid }), failsWith('ESRCH'));
  await assert.rejects(withHelper(false, async () => undefined, { kind: 'process', pid: 2 ** 22 + 1 }), failsWith('ESRCH'));
});

test('many directories in each other are read, and too many refused', options, async () => {
  const deep = 'd/'.repeat(1_000);
  await write('/', [{ file: file(`${deep}f`), data: 'deep' }]);
  assert.equal((await read('/d')).size, 1_001);
  await write('/', [{ file: file(`${'d/'.repeat(1_030)}f`), data: 'deeper' }]);
  await assert.rejects(read('/d'), failsWith('ENAMETOOLONG'));
  await assert.rejects(write('/', [{ file: file('d'), data: 'flat' }]), failsWith('ENAMETOOLONG'));
});
