// Which route needs which role, and which certificate has which. The table of routes is held against the routes that there are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullLogger, systemClock } from '@pouch/process';
import { roleOfSubject } from '../../../services/api/src/access/principal.ts';
import { routeRoles } from '../../../services/api/src/access/route-roles.ts';
import { readConfig } from '../../../services/api/src/config.ts';
import { buildServer } from '../../../services/api/src/server.ts';

test('every route has a role, and every role a route', async () => {
  // Registering routes asks nothing of what stands behind them.
  const { app, routes } = await buildServer({ config: readConfig({}), logger: nullLogger, clock: systemClock } as never);
  try {
    assert.ok(routes.length > 0);
    assert.deepEqual(routes.filter((route) => !routeRoles.has(route)), [], 'decide in services/api/src/access/route-roles.ts which role these need');
    assert.deepEqual([...routeRoles.keys()].filter((route) => !routes.includes(route)), [], 'these routes are not there');
  } finally {
    await app.close();
  }
});

test('roles of certificates: the first that fits, of attributes that may stand several times', () => {
  const { subjectRoles } = readConfig({ POUCH_TLS_ROLES: 'CN=root:admin, OU=ops:operate,*:read' }).access;
  const role = (subject: object) => roleOfSubject(subjectRoles, subject as never);
  assert.deepEqual([role({ CN: 'root', OU: 'ops' }), role({ CN: 'x', OU: ['a', 'ops'] }), role({ CN: 'ops' }), roleOfSubject(readConfig({}).access.subjectRoles, { CN: 'pouch-admin' } as never)], ['admin', 'operate', 'read', null]);
  for (const text of ['CN=x', 'CN:admin', 'CN=x:root', '=x:admin', '*']) assert.throws(() => readConfig({ POUCH_TLS_ROLES: text }), /POUCH_TLS_ROLES: .* must be/, text);
  assert.equal(readConfig({ POUCH_TCP_ROLE: 'none' }).access.plainTcpRole, null);
  assert.throws(() => readConfig({ POUCH_TCP_ROLE: 'king' }), /POUCH_TCP_ROLE/);
});
