// The house rules that a reader relies on: who may import whom, no circular imports, the environment read in one place only.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');

/** Workspaces of ours that each workspace may import. */
const mayImport: Record<string, readonly string[]> = {
  'packages/domain': [],
  'packages/contracts': ['domain'],
  'packages/process': [],
  'packages/oci': [],
  'packages/native': [],
  'packages/sealing': ['process'],
  'packages/eventlog': ['domain', 'contracts', 'process'],
  'packages/projections': ['domain', 'contracts', 'process'],
  'packages/pipes': ['contracts', 'process'],
  'packages/membership': ['domain', 'contracts', 'process', 'sealing'],
  'packages/containerd': ['process', 'oci'],
  'packages/runv': ['oci', 'process', 'native'],
  'packages/cli': ['contracts', 'membership', 'eventlog', 'process', 'oci'],
  'services/api': ['domain', 'contracts', 'eventlog', 'projections', 'process', 'pipes', 'sealing', 'membership'],
  'services/scheduler': ['domain', 'contracts', 'eventlog', 'projections', 'process', 'pipes'],
  'services/agent': ['domain', 'contracts', 'eventlog', 'projections', 'process', 'pipes', 'containerd', 'oci', 'native', 'sealing'],
};

function sources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name === 'node_modules' || name === 'build') return [];
    return statSync(path).isDirectory() ? sources(path) : path.endsWith('.ts') ? [path] : [];
  });
}

/** Specifiers of static and dynamic imports; type-only ones too, since they bind the rooms just as much. */
function imports(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] as string);
}

const files = Object.keys(mayImport).flatMap((workspace) => sources(join(root, workspace, 'src')).map((file) => ({ workspace, file })));

test('every workspace has its import rule', () => {
  const workspaces = ['packages', 'services'].flatMap((kind) => readdirSync(join(root, kind)).map((name) => `${kind}/${name}`));
  assert.deepEqual(workspaces.filter((name) => existsSync(join(root, name, 'package.json')) && !(name in mayImport)), []);
});

test('workspaces import only what they may', () => {
  const wrong: string[] = [];
  for (const { workspace, file } of files) {
    for (const specifier of imports(file)) {
      const ours = /^@pouch\/([^/]+)/.exec(specifier)?.[1];
      if (ours !== undefined && !mayImport[workspace]?.includes(ours)) wrong.push(`${relative(root, file)} imports @pouch/${ours}`);
      if (specifier.startsWith('.') && relative(join(root, workspace), resolve(dirname(file), specifier)).startsWith('..')) wrong.push(`${relative(root, file)} reaches out of its workspace to ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('no file imports itself in a circle', () => {
  const known = new Set(files.map(({ file }) => file));
  const edges = new Map(files.map(({ file }) => [file, imports(file).filter((to) => to.startsWith('.')).map((to) => resolve(dirname(file), to)).filter((to) => known.has(to))]));
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      circles.push([...path.slice(path.indexOf(file)), file].map((one) => relative(root, one)).join(' → '));
      return;
    }
    state.set(file, 'open');
    for (const to of edges.get(file) ?? []) visit(to, [...path, file]);
    state.set(file, 'done');
  };
  for (const { file } of files) visit(file, []);
  assert.deepEqual(circles, []);
});

test('the domain has no clock, randomness or IO', () => {
  const wrong = files.filter(({ workspace, file }) => workspace === 'packages/domain' && /Date\.now|new Date\(\)|Math\.random|node:|process\.|setTimeout/.test(readFileSync(file, 'utf8')));
  assert.deepEqual(wrong.map(({ file }) => relative(root, file)), []);
});

test('the environment is read only where configuration is parsed', () => {
  const wrong = files.filter(({ file }) => !/config\.ts$/.test(file) && /process\.env/.test(readFileSync(file, 'utf8').replaceAll(/\/\/.*$/gm, '')));
  assert.deepEqual(wrong.map(({ file }) => relative(root, file)), []);
});
