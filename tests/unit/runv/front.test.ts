// runv's front in C makes of an engine's process.json what runv itself makes of it, or hands it over; whatever the file holds, under the sanitizers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { spawnPayload } from '../../../packages/runv/src/spec-to-guest.ts';
import { checkProcess, type ProcessSpec } from '../../../packages/runv/src/spec.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..', '..', '..');
const sources = join(repository, 'packages', 'native', 'c', 'vm');
const handedOver = 'handed over';

let directory: string;
let program: string | undefined;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-front-'));
  const files = [join(repository, 'tests', 'fixtures', 'c', 'front-process-check.c'), ...['front-process.c', 'json.c', 'monitor-config.c', 'monitor-status.c', 'monitor-link.c'].map((file) => join(sources, file))];
  for (const extra of [['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'], []]) {
    const path = join(directory, 'check');
    // Without the sanitizers where the compiler lacks their libraries; without a compiler not at all.
    if (await run('cc', ['-std=c11', '-g', '-O1', '-I', sources, ...extra, '-o', path, ...files]).then(() => run(path, [], environment), () => undefined).catch(() => undefined) !== undefined) {
      program = path;
      break;
    }
  }
});
after(() => rm(directory, { recursive: true, force: true }));

/** What it keeps for as long as it lives is no leak. */
const environment = { env: { ASAN_OPTIONS: 'detect_leaks=0' }, maxBuffer: 64 << 20 };

/** Of each text, in one run of the front's code. */
async function byFront(texts: readonly string[]): Promise<string[]> {
  const place = join(directory, 'files');
  await rm(place, { recursive: true, force: true });
  await mkdir(place);
  const paths = texts.map((_, index) => join(place, `${index}.json`));
  await Promise.all(texts.map((text, index) => writeFile(paths[index] as string, text)));
  return (await run(program ?? '', paths, environment)).stdout.split('\n').slice(0, texts.length);
}

/** As the check prints it; undefined where runv refuses it. */
function byRunv(text: string): string | undefined {
  try {
    const wanted = JSON.parse(text) as ProcessSpec;
    checkProcess(wanted);
    return `${spawnPayload(wanted).toString('hex')} ${wanted.terminal === true ? 1 : 0}`;
  } catch {
    return undefined;
  }
}

/** As engines write it (encoding/json of Go): characters of HTML as \u003c. */
const asEngines = (value: unknown): string => JSON.stringify(value).replace(/[<>&]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`);

const word = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.string({ unit: 'grapheme-ascii', maxLength: 40 }), fc.constantFrom('', 'a\u0001b\t', '"\\/\b\f\r', '😀é<&>'));
const id = fc.integer({ min: 0, max: 0xffffffff });
const capability = fc.constantFrom('CAP_CHOWN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN', 'CAP_CHECKPOINT_RESTORE', 'CAP_BPF');
const capabilitySet = fc.option(fc.array(capability, { maxLength: 6 }), { nil: undefined });
const limit = fc.oneof(fc.integer({ min: 0, max: 2 ** 31 }), fc.constant(2 ** 53));
const optional = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined });
const line = word.map((text) => text.replaceAll('\n', ''));
const usual: fc.Arbitrary<ProcessSpec> = fc.record({
  terminal: optional(fc.boolean()), consoleSize: optional(fc.record({ height: fc.nat(65_535), width: fc.nat(65_535) })),
  user: optional(fc.record({ uid: optional(id), gid: optional(id), umask: optional(fc.nat(0o777)), additionalGids: optional(fc.array(id, { maxLength: 5 })) })),
  args: fc.tuple(line, fc.array(word, { maxLength: 5 })).map(([first, more]) => [first, ...more]), env: optional(fc.array(word, { maxLength: 6 })), cwd: optional(word.map((text) => `/${text}`)),
  capabilities: optional(fc.record({ bounding: capabilitySet, effective: capabilitySet, inheritable: capabilitySet, permitted: capabilitySet, ambient: capabilitySet })),
  rlimits: optional(fc.array(fc.record({ type: fc.constantFrom('RLIMIT_NOFILE', 'RLIMIT_CPU', 'RLIMIT_RTTIME'), soft: limit, hard: limit }), { maxLength: 3 })),
  noNewPrivileges: optional(fc.boolean()), oomScoreAdj: optional(fc.integer({ min: -1000, max: 1000 })),
}) as fc.Arbitrary<ProcessSpec>;

/** Several at once: a run of the check costs more than what it does. */
const batch = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { minLength: 100, maxLength: 100 });

const unless = (t: TestContext): boolean => {
  if (program === undefined) t.skip('no C compiler');
  return program !== undefined;
};

test('what engines write becomes the same SPAWN', async (t) => {
  if (!unless(t)) return;
  await fc.assert(fc.asyncProperty(batch(usual), async (specs) => {
    const texts = specs.map(asEngines);
    assert.deepEqual(await byFront(texts), texts.map(byRunv));
  }), { numRuns: 4, endOnFailure: true });
  const most = '{"args":["a"],"rlimits":[{"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615}],"selinuxLabel":"x","scheduler":{"a":[1.5e3,null]}}';
  assert.deepEqual(await byFront([most]), [byRunv(most)]);
});

test('what is spoilt is refused, or is the same SPAWN', async (t) => {
  if (!unless(t)) return;
  const spoilt = fc.tuple(usual, fc.array(fc.tuple(fc.nat(2_000), fc.constantFrom('"', '{', '}', '[', ']', ',', ':', '\\', '0', '-', '1e3', '.5', 'null', 'true', '\\ud800', '\\u0000', 'ÿ', '\n', '')), { maxLength: 3 }))
    .map(([spec, changes]) => changes.reduce((text, [at, by]) => text.slice(0, at % text.length) + by + text.slice((at % text.length) + 1), asEngines(spec)).toWellFormed()); // as a file has it
  await fc.assert(fc.asyncProperty(batch(spoilt), async (texts) => {
    for (const [index, found] of (await byFront(texts)).entries()) if (found !== handedOver) assert.equal(found, byRunv(texts[index] as string), texts[index]);
  }), { numRuns: 4, endOnFailure: true });
});

test('what is not of the usual kind is handed over', async (t) => {
  if (!unless(t)) return;
  const unusual = [
    '', '[]', '{}', '{"args":[]}', '{"args":["a"],}', '{"args":["a"]} x', '{"args":["a\\u0000"]}', '{"args":["\\ud83d"]}', '{"args":["a",1]}', '{"args":["a"],"cwd":"a"}', '{"args":["a"],"user":{"uid":-1}}',
    '{"args":["a"],"user":{"uid":4294967296}}', '{"args":["a"],"user":{"uid":1.0}}', '{"args":["a"],"user":null}', '{"args":["a"],"capabilities":{"bounding":["CAP_NONE"]}}', '{"args":["a"],"rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}',
    '{"args":["a"],"rlimits":[{"type":"RLIMIT_CPU","soft":1}]}', '{"args":["a"],"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":9007199254740993}]}', '{"args":["a"],"oomScoreAdj":1.5}', '{"args":["a"],"terminal":1}', '{"args":["a"],"x":01}',
    `{"args":["a"],"x":${'['.repeat(40)}${']'.repeat(40)}}`, `{"args":["a"],"x":[${'1,'.repeat(70_000)}1]}`, `{"args":["${'x'.repeat(1 << 20)}"]}`,
  ];
  assert.deepEqual(await byFront(unusual), unusual.map(() => handedOver));
});
