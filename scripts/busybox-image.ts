// Makes sure that docker.io/library/busybox:latest is there: pulled, or built from the system's static busybox where no registry answers.
// It speaks to the API only; it must not touch containerd.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { pack } from 'tar-stream';
import { callApi } from './cluster/api-client.ts';
import { locateProgram } from './cluster/programs.ts';
import { hasStaticBusybox } from './system-packages.ts';

const name = 'docker.io/library/busybox:latest';

/** A registry that has told nothing by then counts as out of reach. */
const firstWordMs = 12_000;
const pullMs = 180_000;

type File = { readonly header: { readonly name: string; readonly mode?: number; readonly type?: 'directory' | 'link' | 'symlink'; readonly linkname?: string }; readonly content?: Buffer | string };

/** A tar of the files, the same for the same files. */
async function tar(files: readonly File[]): Promise<Buffer> {
  const archive = pack();
  const pieces: Buffer[] = [];
  // Read while it is filled: an entry is only done once it was read.
  const reading = (async () => { for await (const piece of archive) pieces.push(piece as Buffer); })();
  for (const { header, content } of files) {
    await new Promise<void>((resolve, reject) => {
      archive.entry({ ...header, mtime: new Date(0) }, content ?? '', (error) => { if (error) reject(error); else resolve(); });
    });
  }
  archive.finalize();
  await reading;
  return Buffer.concat(pieces);
}

const directories = ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'sys', 'tmp', 'usr', 'usr/bin', 'usr/sbin', 'var', 'var/spool', 'var/spool/mail', 'var/www'];
const modes: Readonly<Record<string, number>> = { tmp: 0o1777, root: 0o700 };
const passwd = 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n';
const group = 'root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n';

/** The root file system: one program, a link to it per applet, the directories and names that programs expect. */
async function layer(busybox: Buffer, applets: readonly string[]): Promise<Buffer> {
  return await tar([
    ...directories.map((name): File => ({ header: { name, type: 'directory', mode: modes[name] ?? 0o755 } })),
    { header: { name: 'bin/busybox', mode: 0o755 }, content: busybox },
    ...applets.filter((applet) => applet !== 'busybox').map((applet): File => ({ header: { name: `bin/${applet}`, type: 'link', linkname: 'bin/busybox', mode: 0o755 } })),
    { header: { name: 'usr/bin/env', type: 'symlink', linkname: '../../bin/env' } },
    { header: { name: 'sbin', type: 'symlink', linkname: 'bin' } },
    { header: { name: 'etc/passwd', mode: 0o644 }, content: passwd },
    { header: { name: 'etc/group', mode: 0o644 }, content: group },
    { header: { name: 'etc/nsswitch.conf', mode: 0o644 }, content: 'hosts: files dns\n' },
  ]);
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ppc64: 'ppc64le', s390x: 's390x', riscv64: 'riscv64' };

/** A docker-archive (as `docker save` writes) of an image with the system's busybox; the same busybox gives the same digests. */
export async function buildBusyboxArchive(reference: string = name): Promise<Buffer> {
  const path = await locateProgram('busybox');
  if (path === undefined || !(await hasStaticBusybox())) throw new Error('busybox-static is not installed');
  const { stdout } = await promisify(execFile)(path, ['--list']);
  const content = await layer(await readFile(path), stdout.split('\n').filter((applet) => /^[a-zA-Z0-9_.[-]+$/.test(applet)));
  const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  const layerDigest = sha256(content);
  const created = (await stat(path)).mtime.toISOString();
  const config = Buffer.from(JSON.stringify({
    architecture: architectures[process.arch] ?? process.arch,
    os: 'linux',
    created,
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created, created_by: 'Debian busybox-static' }, { created, created_by: 'CMD ["sh"]', empty_layer: true }],
  }));
  const configName = `${sha256(config)}.json`;
  return await tar([
    { header: { name: configName, mode: 0o644 }, content: config },
    { header: { name: `${layerDigest}/layer.tar`, mode: 0o644 }, content },
    { header: { name: 'manifest.json', mode: 0o644 }, content: JSON.stringify([{ Config: configName, RepoTags: [reference], Layers: [`${layerDigest}/layer.tar`] }]) },
  ]);
}

/** The last error in a stream of Docker's JSON messages. */
function errorIn(text: string): string | undefined {
  for (const line of text.split('\n').reverse()) {
    if (!line.includes('"error"')) continue;
    try {
      const message = JSON.parse(line) as { error?: string };
      if (message.error !== undefined) return message.error;
    } catch {
      continue; // a line that only looks like one
    }
  }
  return undefined;
}

/** The words of an error's answer. */
function messageIn(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text.slice(0, 300); // not the API's own words
  }
}

async function isThere(socket: string): Promise<boolean> {
  return (await callApi(socket, { path: `/images/${encodeURIComponent(name)}/json`, timeoutMs: 10_000 })).status === 200;
}

/** Loads the built image through the API. */
export async function loadBusybox(socket: string): Promise<void> {
  const archive = await buildBusyboxArchive();
  const { status, text } = await callApi(socket, { method: 'POST', path: '/images/load?quiet=1', body: Readable.from([archive]), contentType: 'application/x-tar', timeoutMs: 120_000 });
  const problem = status === 200 ? errorIn(text) : text.slice(0, 500);
  if (problem !== undefined) throw new Error(`the image busybox could not be loaded: ${problem}`);
}

/** Answers why it could not be pulled. */
async function pull(socket: string): Promise<string | undefined> {
  let told = false;
  const silent = new Promise<string>((resolve) => setTimeout(() => { if (!told) resolve('the registry does not answer'); }, firstWordMs).unref());
  const pulling = callApi(socket, {
    method: 'POST', path: '/images/create?fromImage=docker.io%2Flibrary%2Fbusybox&tag=latest', timeoutMs: pullMs,
    // "Pulling from" is said before the registry has said anything.
    onData: (text) => { told ||= /"progressDetail"|"Pulling fs layer"|"Digest:/.test(text); },
  }).then(({ status, text }) => status === 200 ? errorIn(text) : messageIn(text), (error: unknown) => String(error));
  return await Promise.race([pulling, silent]);
}

/** Idempotent; says in words where the image came from. */
export async function ensureBusybox(socket: string, say: (line: string) => void): Promise<void> {
  if (await isThere(socket)) return;
  say(`pulling ${name}`);
  const problem = await pull(socket);
  if (problem === undefined) return;
  say(`no registry could be reached (${problem.trim().split('\n')[0]?.slice(0, 200)}): building it from busybox-static`);
  await loadBusybox(socket);
}
