// The catalogue of guest kernels: added once by name, probed by hosts, kept while a container wants it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideKernel, evolveKernel, hostId, kernelId, maxHostProbes, type Kernel, type KernelCommand, type KernelProbe, type KernelRecord } from '@pouch/domain';

const record: KernelRecord = { digest: `sha256:${'1'.repeat(64)}`, sizeBytes: 10, format: 'vmlinux', release: '2.6.32', moduleCount: 0, archive: { digest: `sha256:${'2'.repeat(64)}`, sizeBytes: 2_048 } };
const id = kernelId('old-2.6.32');
const add = (different: Partial<KernelRecord> = {}): KernelCommand => ({ type: 'AddKernel', id, name: 'old-2.6.32', record: { ...record, ...different } });
const bare: KernelProbe = { profile: 'bare', ok: true, bootMs: 4_000, lacks: ['overlay'] };
const probed = (host: string, profiles: KernelProbe[] = [bare], digest = record.digest): KernelCommand => ({ type: 'ReportKernelProbed', hostId: hostId(host), digest, profiles });

/** Event types of accepted commands, codes of refused ones. */
function run(...commands: KernelCommand[]): { seen: string[]; state: Kernel | null } {
  let state: Kernel | null = null;
  const seen: string[] = [];
  for (const [at, command] of commands.entries()) {
    const decision = decideKernel(state, command, at);
    if (!decision.ok) seen.push(decision.refusal.code);
    else for (const event of decision.events) {
      seen.push(event.type);
      state = evolveKernel(state, event);
    }
  }
  return { seen, state };
}

test('the same bytes are added once, others need another name', () => {
  assert.deepEqual(run(add(), add(), add({ archive: { digest: `sha256:${'3'.repeat(64)}`, sizeBytes: 1 } })).seen, ['KernelAdded', 'already-exists']);
});

test('each host has one verdict, a repeated one is no news, one on other bytes is stale', () => {
  const { seen, state } = run(add(), probed('a'), probed('a'), probed('b'), probed('a', [{ ...bare, ok: false, bootMs: null, lacks: ['no answer'] }]), probed('a', [bare], 'sha256:other'));
  assert.deepEqual(seen, ['KernelAdded', 'KernelProbed', 'KernelProbed', 'KernelProbed', 'stale']);
  assert.deepEqual(state?.probes.map((probe) => [probe.hostId, probe.profiles[0]?.ok]), [['b', true], ['a', false]]);
});

test('verdicts are bounded', () => {
  const hosts = Array.from({ length: maxHostProbes + 5 }, (_, n) => probed(`h${n}`));
  assert.equal(run(add(), ...hosts).state?.probes.length, maxHostProbes);
});

test('a kernel that is wanted stays; removed, its name is free and nothing more is told of it', () => {
  const remove = (...usedBy: string[]): KernelCommand => ({ type: 'RemoveKernel', usedBy });
  assert.deepEqual(run(remove(), add(), remove('web'), remove(), remove(), probed('a'), add()).seen, ['not-found', 'KernelAdded', 'in-use', 'KernelRemoved', 'not-found', 'not-found', 'KernelAdded']);
  const refusal = decideKernel(run(add()).state, remove('web', 'db'), 1);
  assert.match(refusal.ok ? '' : refusal.refusal.message, /used by web, db/);
});

test('names become tokens of subjects and nothing else', () => {
  assert.equal(kernelId('linux-5.10_x'), 'linux-5~10_x');
  for (const wrong of ['', '.', '..', '-a', 'a/b', 'a b', 'a*', 'a>', 'a~b', 'x'.repeat(64), 'ü', 'Upper']) assert.throws(() => kernelId(wrong), /not a kernel's name/, wrong);
});
