// Join tokens and members: how often a token admits, whom, and what is void afterwards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideJoinToken, decideMember, evolveJoinToken, evolveMember, hostId, type Decision, type JoinToken, type JoinTokenCommand, type Member, type MemberCommand } from '@pouch/domain';

const hash = 'a'.repeat(64);
const [first, second] = [hostId('first'), hostId('second')];
const created = { type: 'CreateJoinToken', name: 'x', hash, host: null, uses: 1, expiresAtMs: 1_000 } as const;
const use = (publicKey: string, different: Partial<Extract<JoinTokenCommand, { type: 'UseJoinToken' }>> = {}): JoinTokenCommand => ({ type: 'UseJoinToken', hash, hostId: first, publicKey, ...different });

function told<S, E>(state: S | null, decision: Decision<E>, evolve: (state: S | null, event: E) => S | null): S | null {
  assert.ok(decision.ok, decision.ok ? '' : decision.refusal.message);
  return decision.events.reduce(evolve, state);
}
const token = (...commands: readonly JoinTokenCommand[]): JoinToken | null => commands.reduce<JoinToken | null>((state, command) => told(state, decideJoinToken(state, command, 10), evolveJoinToken), null);
const member = (...commands: readonly MemberCommand[]): Member | null => commands.reduce<Member | null>((state, command, at) => told(state, decideMember(state, command, at), evolveMember), null);
function refused(decision: Decision<unknown>, code: string, words: RegExp): void {
  assert.ok(!decision.ok);
  assert.equal(decision.refusal.code, code);
  assert.match(decision.refusal.message, words);
}

test('a token admits as often as it says; who asks again with the same key is answered again', () => {
  const used = token(created, use('U1'), use('U1'));
  assert.deepEqual([used?.usesLeft, used?.admitted], [0, ['U1']]);
  refused(decideJoinToken(used, use('U2'), 10), 'stale', /used up/);
});

test('a wrong secret, a revoked token and one that never was are the same to who asks', () => {
  const wrong = decideJoinToken(token(created), use('U1', { hash: 'b'.repeat(64) }), 10);
  refused(wrong, 'not-found', /not known/);
  assert.deepEqual(decideJoinToken(null, use('U1'), 10), wrong);
  assert.deepEqual(decideJoinToken(token(created, { type: 'RevokeJoinToken' }), use('U1'), 10), wrong);
});

test('a token expires, and one for a host is for no other', () => {
  refused(decideJoinToken(token(created), use('U1'), 1_000), 'stale', /expired/);
  refused(decideJoinToken(token({ ...created, host: second }), use('U1'), 10), 'in-use', /for host second/);
});

test('a host has one key; another one takes its place only where that is asked for, and voids it', () => {
  const admit = (publicKey: string, replace = false): MemberCommand => ({ type: 'AdmitMember', hostId: first, publicKey, token: 'x', replace });
  assert.equal(member(admit('U1'), admit('U1'))?.revoked.length, 0);
  refused(decideMember(member(admit('U1')), admit('U2'), 1), 'already-exists', /--host-id.*hosts rm first.*--for first/);
  assert.deepEqual(member(admit('U1'), admit('U2', true))?.revoked, [{ publicKey: 'U1', atMs: 1 }]);
  const gone = member(admit('U1'), { type: 'RevokeMember' }, { type: 'RevokeMember' });
  assert.deepEqual([gone?.state, gone?.revoked], ['revoked', [{ publicKey: 'U1', atMs: 1 }]]);
  refused(decideMember(gone, admit('U1'), 9), 'stale', /revoked/);
  assert.equal(told(gone, decideMember(gone, admit('U2'), 9), evolveMember)?.publicKey, 'U2');
});
