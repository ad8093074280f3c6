// The outer form of join tokens and requests: what is not whole is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatJoinToken, parseJoinToken, toJoinRequest } from '@pouch/contracts';
import { JoinError, natsAddresses } from '@pouch/membership';

const token = { name: 'abc', secret: 'a'.repeat(64), caDigest: 'b'.repeat(64), jwt: 'x.y.z', seed: 'SU' };

test('a token is read back as it was made, and no part of it is one', () => {
  const text = formatJoinToken(token);
  assert.deepEqual(parseJoinToken(text), token);
  for (let end = 0; end < text.length; end++) assert.equal(parseJoinToken(text.slice(0, end)), null);
  for (const odd of ['', 'pouch_ci_abc', `pouchjoin_${Buffer.from('{}').toString('base64url')}`, formatJoinToken({ ...token, name: 'a.b' }), `${text}${'A'.repeat(9_000)}`]) assert.equal(parseJoinToken(odd), null);
});

test('a request has all its members in their form', () => {
  const request = { v: 1, token: 'a'.repeat(64), hostId: 'first', memberKey: `U${'A'.repeat(55)}`, sealKey: 'x' };
  const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  assert.deepEqual(toJoinRequest(bytes(request)), request);
  for (const odd of [{ ...request, v: 2 }, { ...request, token: 'short' }, { ...request, memberKey: 'A'.repeat(56) }, { ...request, hostId: 1 }, [], null, { ...request, sealKey: 'x'.repeat(9_000) }]) assert.equal(toJoinRequest(bytes(odd)), null);
  assert.equal(toJoinRequest(Buffer.from('{')), null);
});

test('addresses are read as a person writes them', () => {
  assert.deepEqual(natsAddresses('10.0.0.1, nats.example.org:4000,nats://10.0.0.2:1'), ['nats://10.0.0.1:4722', 'nats://nats.example.org:4000', 'nats://10.0.0.2:1']);
  for (const odd of ['', ' , ', 'http://10.0.0.1', '10.0.0.1:99999', 'a b', 'user:secret@10.0.0.1']) assert.throws(() => natsAddresses(odd), JoinError);
});
