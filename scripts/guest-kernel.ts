// Fetches Debian's kernels for guests into the project's own directory, and puts the default one into runv's store.
// It must not install packages on the system: a kernel is only data here.
//   node scripts/guest-kernel.ts [NAME …]      fetches those (default: the default kernel) and prints where they are
import { access, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addKernel, listKernels, type KernelStore } from '../packages/runv/src/machine/kernel-store.ts';
import { collectModules } from '../packages/runv/src/machine/modules.ts';
import type { Kernel } from '../packages/runv/src/machine/types.ts';
import { projectDir, repositoryDir } from './config.ts';
import { extractDebianPackage } from './debian-package.ts';

/** Kernels that Debian's suites have, by the names that they get. */
export const debianKernels: Readonly<Record<string, { readonly suite: string; readonly name: string }>> = {
  'debian-5.10-cloud': { suite: 'bullseye', name: 'linux-image-cloud-amd64' },
  'debian-5.10': { suite: 'bullseye', name: 'linux-image-amd64' },
  'debian-6.1-cloud': { suite: 'bookworm', name: 'linux-image-cloud-amd64' },
  'debian-6.1': { suite: 'bookworm', name: 'linux-image-amd64' },
  'debian-6.12-cloud': { suite: 'trixie', name: 'linux-image-cloud-amd64' },
  'debian-6.12': { suite: 'trixie', name: 'linux-image-amd64' },
};

/** Of containers that name none. */
export const defaultKernel = 'debian-6.1-cloud';

/** runv's own default store: what `podman --runtime runv` finds too. */
export const runvKernelStore: KernelStore = { directory: '/var/lib/runv/kernels', initPath: join(repositoryDir, 'packages', 'native', 'build', 'pouch-init') };

/** What `addKernel` takes. */
export interface KernelSource { readonly name: string; readonly image: string; readonly modulesDir: string }

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

/** Fetches one of `debianKernels`, unless it is there. Throws with clear words when it cannot be had. */
export async function provideKernelSource(name: string, say: (line: string) => void): Promise<KernelSource> {
  const known = debianKernels[name];
  if (known === undefined) throw new Error(`Debian has no kernel ${JSON.stringify(name)} that is known here; there are ${Object.keys(debianKernels).join(', ')}`);
  const target = join(projectDir, 'guest-kernels', name);
  const source = { name, image: join(target, 'vmlinuz'), modulesDir: join(target, 'modules') };
  if (await exists(source.image)) return source;
  say(`fetching the guest kernel ${name} from Debian ${known.suite}`);
  await mkdir(join(projectDir, 'guest-kernels'), { recursive: true });
  try {
    await extractDebianPackage({ ...known, dependency: 'linux-image-' }, target, pruned);
  } catch (cause) {
    throw new Error(`the guest kernel ${name} cannot be had from Debian ${known.suite}: ${cause instanceof Error ? cause.message.trim() : String(cause)}`, { cause });
  }
  return source;
}

/** Keeps of a kernel package its image and the modules that guests use: 10 MB of 100 to 400. */
async function pruned(root: string): Promise<string> {
  const kept = join(root, 'kept');
  await mkdir(join(kept, 'modules'), { recursive: true });
  const image = (await readdir(join(root, 'boot'))).find((file) => file.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error('the package holds no boot/vmlinuz-…');
  await rename(join(root, 'boot', image), join(kept, 'vmlinuz'));
  const modules = (await exists(join(root, 'lib', 'modules'))) ? join(root, 'lib', 'modules') : join(root, 'usr', 'lib', 'modules');
  for (const { name, content } of await collectModules(modules)) await writeFile(join(kept, 'modules', `${name}.ko`), content);
  return kept;
}

/** Puts the default kernel into a store, unless it holds one of that name; fetches it when needed. */
export async function provideDefaultKernel(say: (line: string) => void, store: KernelStore = runvKernelStore): Promise<Kernel> {
  const there = (await listKernels(store)).find((kernel) => kernel.name === defaultKernel);
  return there ?? await addKernel(store, await provideKernelSource(defaultKernel, say));
}

if (import.meta.main) {
  const names = process.argv.slice(2);
  for (const name of names.length > 0 ? names : [defaultKernel]) {
    try {
      const { image, modulesDir } = await provideKernelSource(name, (line) => console.error(line));
      console.log(`${name}: --image ${image} --modules ${modulesDir}`);
    } catch (error) {
      console.error(error instanceof Error ? error.message : String(error));
      process.exitCode = 1;
    }
  }
}
