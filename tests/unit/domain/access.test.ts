// Who may do what: roles, tokens, the policy on what containers ask of hosts, what was refused, and secrets as the log knows them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  confinedMounts, decidePolicy, decideRefusals, decideSecret, decideToken, evolvePolicy, evolveRefusals, evolveSecret, evolveToken, hasRole, isAccessName, isExpired, maxRefusalsTold, openRules,
  ordinaryCapabilities, policyBreach, type Decision, type Mount, type PolicyRules, type RefusedAccess, type Secret, type SecretCommand, type Token, type TokenCommand,
} from '@pouch/domain';
import { defaultCapabilities } from '@pouch/oci';
import { aSpec } from '../../fixtures/domain.ts';

/** Event types of accepted commands, codes of refused ones; command n is decided at n seconds. */
function run<S, C, E extends { type: string }>(decide: (state: S | null, command: C, nowMs: number) => Decision<E>, evolve: (state: S | null, event: E) => S | null, commands: readonly C[]): { seen: string[]; state: S | null } {
  let state: S | null = null;
  const seen: string[] = [];
  for (const [at, command] of commands.entries()) {
    const decision = decide(state, command, at * 1_000);
    if (!decision.ok) seen.push(decision.refusal.code);
    else for (const event of decision.events) {
      seen.push(event.type);
      state = evolve(state, event);
    }
  }
  return { seen, state };
}

test('each role has what the ones below it have', () => {
  assert.deepEqual([hasRole('admin', 'read'), hasRole('operate', 'operate'), hasRole('read', 'operate'), hasRole('operate', 'admin')], [true, true, false, false]);
  assert.deepEqual(['a', 'ci-1', 'A', '', 'a.b', '-a', 'a'.repeat(64), 'a*'].map(isAccessName), [true, true, false, false, false, false, false, false]);
});

test('a name has one living token; a revoked or expired one makes room', () => {
  const create = (expiresAtMs: number | null = null): TokenCommand => ({ type: 'CreateToken', name: 'ci', role: 'operate', hash: 'f'.repeat(64), expiresAtMs });
  const { seen, state } = run<Token, TokenCommand, never>(decideToken as never, evolveToken as never, [create(), create(), { type: 'RevokeToken' }, { type: 'RevokeToken' }, create(4_500), create(null)]);
  assert.deepEqual(seen, ['TokenCreated', 'already-exists', 'TokenRevoked', 'not-found', 'TokenCreated', 'TokenCreated']);
  assert.equal(state?.expiresAtMs, null);
  assert.deepEqual([isExpired({ expiresAtMs: 10 }, 9), isExpired({ expiresAtMs: 10 }, 10), isExpired({ expiresAtMs: null }, 10)], [false, true, false]);
});

test('a change of the policy keeps what it does not name, and what changes nothing is no news', () => {
  const changed = decidePolicy(null, { type: 'ChangePolicy', change: { who: { privileged: 'nobody' } } }, 5);
  assert.ok(changed.ok && changed.events[0] !== undefined);
  const state = evolvePolicy(null, changed.events[0]);
  assert.deepEqual(state?.rules, { ...openRules, who: { ...openRules.who, privileged: 'nobody' } });
  assert.deepEqual(decidePolicy(state, { type: 'ChangePolicy', change: { who: { privileged: 'nobody' } } }, 6), { ok: true, events: [] });
  assert.deepEqual(decidePolicy(null, { type: 'ChangePolicy', change: {} }, 6), { ok: true, events: [] });
});

const bind = (source: string): Mount => ({ type: 'bind', declaredAs: 'binds', source, target: '/m', readonly: false, propagation: 'rprivate', recursive: true, createSource: true });
const closed: PolicyRules = { who: { privileged: 'nobody', 'host-binds': 'admin', 'host-network': 'admin', devices: 'nobody', capabilities: 'admin', seccomp: 'admin' }, bindPrefixes: ['/data'], allowedCapabilities: ['CAP_NET_ADMIN'] };

test('the policy names the rule that a setting breaks, by role', () => {
  const rule = (different: Parameters<typeof aSpec>[0], role: 'operate' | 'admin' = 'operate', rules = closed) => policyBreach(rules, role, aSpec(different))?.rule ?? null;
  assert.equal(rule({}), null);
  assert.deepEqual([rule({ privileged: true }), rule({ privileged: true }, 'admin'), rule({ privileged: true }, 'operate', openRules)], ['privileged', 'privileged', null]);
  assert.deepEqual([rule({ network: { mode: 'host' } }), rule({ network: { mode: 'host' } }, 'admin')], ['host-network', null]);
  assert.equal(rule({ devices: [{ pathOnHost: '/dev/kvm', pathInContainer: '/dev/kvm', permissions: 'rw' }] }, 'admin'), 'devices');
  assert.deepEqual([['CAP_SYS_ADMIN'], ['ALL'], ['CAP_NET_ADMIN'], ['CAP_CHOWN']].map((capAdd) => rule({ capAdd })), ['capabilities', 'capabilities', null, null]);
  assert.equal(rule({ seccomp: { profile: 'unconfined' } }), 'seccomp');
  assert.deepEqual(['/data', '/data/x', '/database', '/', '/etc'].map((source) => rule({ mounts: [bind(source)] })), [null, null, 'host-binds', 'host-binds', 'host-binds']);
  assert.equal(rule({ mounts: [bind('/etc')] }, 'admin'), null);
  assert.match(policyBreach(closed, 'operate', aSpec({ mounts: [bind('/etc')] }))?.message ?? '', /rule host-binds forbids the bind of \/etc; below \/data binds are open to the role operate \(admin may\)/);
});

test("who joins a container's network joins the host's where that one has it", () => {
  const joins = aSpec({ network: { mode: 'container', containerId: 'c'.repeat(64) as never } });
  assert.equal(policyBreach(closed, 'operate', joins, aSpec({ network: { mode: 'host' } }))?.rule, 'host-network');
  assert.equal(policyBreach(closed, 'operate', joins, aSpec()), null);
});

test('a bind that is open only by its directory must stay in it', () => {
  assert.equal((confinedMounts(closed, 'operate', [bind('/data/x')])[0] as { within?: string }).within, '/data');
  assert.equal((confinedMounts(closed, 'admin', [bind('/data/x')])[0] as { within?: string }).within, undefined);
});

test('the ordinary capabilities are those that containers have', () => {
  assert.deepEqual([...ordinaryCapabilities].sort(), [...defaultCapabilities].sort());
});

test('refusals are counted, and told up to a bound', () => {
  const one = (route: string, count: number): RefusedAccess => ({ status: 403, route, rule: 'role', reason: 'x', count, firstAtMs: 1, lastAtMs: 2 });
  assert.deepEqual(decideRefusals(null, { type: 'TellRefusals', refusals: [], others: 0 }, 1), { ok: true, events: [] });
  const many = decideRefusals(null, { type: 'TellRefusals', refusals: Array.from({ length: maxRefusalsTold + 3 }, (_, n) => one(`GET /${n}`, 2)), others: 5 }, 7);
  assert.ok(many.ok && many.events[0] !== undefined);
  assert.deepEqual([many.events[0].refusals.length, many.events[0].others], [maxRefusalsTold, 11]);
  const state = evolveRefusals(evolveRefusals(null, many.events[0]), many.events[0]);
  assert.deepEqual([state?.total, state?.sinceMs], [2 * (2 * (maxRefusalsTold + 3) + 5), 7]);
});

test('a secret is made once by name, sealed again only as itself, and stays while a container has it', () => {
  const place = (digit: string) => ({ digest: `sha256:${digit.repeat(64)}`, keyId: 'k' });
  const create = (generation: string): SecretCommand => ({ type: 'CreateSecret', name: 'db', labels: {}, generation, sealed: place('1') });
  const { seen, state } = run<Secret, SecretCommand, never>(decideSecret as never, evolveSecret as never, [
    { type: 'RemoveSecret', usedBy: [] }, create('a'), create('b'), { type: 'SealSecretAgain', generation: 'x', sealed: place('2') }, { type: 'SealSecretAgain', generation: 'a', sealed: place('2') },
    { type: 'RemoveSecret', usedBy: ['web'] }, { type: 'RemoveSecret', usedBy: [] }, { type: 'SealSecretAgain', generation: 'a', sealed: place('3') }, create('c'),
  ]);
  assert.deepEqual(seen, ['not-found', 'SecretCreated', 'already-exists', 'stale', 'SecretSealedAgain', 'in-use', 'SecretRemoved', 'not-found', 'SecretCreated']);
  assert.equal(state?.generation, 'c');
});
