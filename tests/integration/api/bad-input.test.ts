// What no client should send: every endpoint answers it with a 4xx that names what is wrong, and the server goes on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { startApi, type Answer, type ApiFixture } from '../../fixtures/api-server.ts';

let api: ApiFixture;
let id: string;
before(async () => {
  api = await startApi();
  id = await api.create({ Cmd: ['sleep'] }, 'victim');
});
after(async () => { await api?.stop(); });

function isRefusal(answer: Answer, status: number | readonly number[], field: RegExp | string): void {
  const statuses = typeof status === 'number' ? [status] : status;
  assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
  assert.equal(answer.headers['content-type'], 'application/json');
  const { message, ...rest } = answer.json as { message: string };
  assert.deepEqual(rest, {});
  assert.match(message, field instanceof RegExp ? field : new RegExp(field.replaceAll(/[.[\]*]/g, '\\$&')));
  assert.doesNotMatch(message, /node_modules|\.ts:|at .*\(/);
}

const create = (body: Record<string, unknown>): Promise<Answer> => api.ask('POST', '/containers/create', { body: { Image: 'busybox', ...body } });

test('bodies that are no JSON', async () => {
  const paths = ['/containers/create', `/containers/${id}/exec`, `/exec/${'0'.repeat(64)}/start`];
  for (const path of paths) {
    isRefusal(await api.ask('POST', path, { raw: '{"Image": ' }), 400, /not valid JSON/);
    isRefusal(await api.ask('POST', path, { raw: Buffer.from('{"Image":"\xff\xfe"}', 'latin1') }), 400, /UTF-8/);
    isRefusal(await api.ask('POST', path, { raw: '[]' }), 400, 'the body');
    isRefusal(await api.ask('POST', path, { raw: '"text"' }), 400, 'the body');
    isRefusal(await api.ask('POST', path, { raw: '{"__proto__":{"a":1}}' }), 400, '__proto__');
    isRefusal(await api.ask('POST', path, { raw: `${'{"a":'.repeat(200)}1${'}'.repeat(200)}` }), 400, 'levels deep');
    isRefusal(await api.ask('POST', path, { raw: '{"a":"\\ud800"}' }), 400, /a: .*Unicode/);
    isRefusal(await api.ask('POST', path, { raw: `{"x":"${'y'.repeat(5 * 1024 * 1024)}"}` }), 413, /body is too large/);
  }
});

test('settings that the log could not carry are refused, and their name stays free', async () => {
  const big = { Image: 'busybox', Cmd: ['sleep'], Labels: Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`l${index}`, 'x'.repeat(10_000)])) };
  isRefusal(await api.ask('POST', '/containers/create?name=too-big', { body: big }), 413, 'the body');
  isRefusal(await api.ask('POST', '/containers/create', { body: { Image: 'busybox', Labels: { a: 'x'.repeat(70_000) } } }), 400, 'Labels.a');
  await api.create({ Cmd: ['sleep'] }, 'too-big');
});

test('JSON counts whatever the Content-Type says, and null is not given', async () => {
  for (const headers of [{}, { 'content-type': 'text/plain' }, { 'content-type': 'application/x-www-form-urlencoded' }, { 'content-type': 'application/json; charset=utf-8' }]) {
    const answer = await api.ask('POST', '/containers/create', { raw: '{"Image":"busybox","Cmd":["sleep"],"Entrypoint":null,"Labels":null,"HostConfig":{"Binds":null,"Memory":null,"PortBindings":{"80/tcp":null}}}', headers });
    assert.equal(answer.status, 201, answer.text);
  }
});

const settings: readonly (readonly [body: Record<string, unknown>, field: string])[] = [
  [{ Image: 7 }, 'Image'],
  [{ Image: '' }, 'Image'],
  [{ Image: 'UPPER case' }, 'Image'],
  [{ Image: '../../etc/passwd' }, 'Image'],
  [{ Cmd: [1] }, 'Cmd[0]'],
  [{ Cmd: ['a\0b'] }, 'Cmd[0]'],
  [{ Env: 'A=b' }, 'Env'],
  [{ Env: ['=b'] }, 'Env[0]'],
  [{ Labels: { a: 1 } }, 'Labels.a'],
  [{ Labels: { 'a\0': 'b' } }, 'Labels'],
  [{ WorkingDir: 'relative' }, 'WorkingDir'],
  [{ User: 'a:b:c' }, 'User'],
  [{ Hostname: 'a b' }, 'Hostname'],
  [{ StopSignal: 'SIGNOPE' }, 'StopSignal'],
  [{ StopTimeout: -2 }, 'StopTimeout'],
  [{ StopTimeout: 1e99 }, 'StopTimeout'],
  [{ Tty: 'yes' }, 'Tty'],
  [{ ExposedPorts: { '99999/tcp': {} } }, 'ExposedPorts'],
  [{ ExposedPorts: { '80/icmp': {} } }, 'ExposedPorts'],
  [{ Volumes: { x: {} } }, 'Volumes.x'],
  [{ Volumes: { '/': {} } }, 'Volumes./'],
  [{ Healthcheck: { Test: ['TRUE'] } }, 'Healthcheck.Test'],
  [{ Healthcheck: { Test: ['CMD', 'true'], Interval: 10 } }, 'Healthcheck.Interval'],
  [{ Healthcheck: { Test: ['CMD', 'true'], Retries: -1 } }, 'Healthcheck.Retries'],
  [{ MacAddress: '02:42:0a:58:00:02' }, 'MacAddress'],
  [{ NetworkingConfig: { EndpointsConfig: { mine: {} } } }, 'NetworkingConfig.EndpointsConfig.mine'],
  [{ NetworkingConfig: { EndpointsConfig: { bridge: { Aliases: ['x'] } } } }, 'NetworkingConfig.EndpointsConfig.bridge.Aliases'],
  ...Object.entries<unknown>({
    Memory: -1, MemorySwap: 1e300, NanoCpus: -5, CpuShares: 1e9, CpusetCpus: '3-1', PidsLimit: 1e12, OomScoreAdj: 1001, ShmSize: -1, Runtime: 'kata', NetworkMode: 'mine', Privileged: 1,
    Binds: ['./relative:/x'], Sysctls: { nope: '1' }, Dns: ['nowhere'], ExtraHosts: ['x'], CapAdd: ['NOPE'], SecurityOpt: ['label=type:x'], GroupAdd: ['a b'], Init: 'yes', Annotations: { a: 1 },
    VolumesFrom: ['nobody'], Links: ['x'], IpcMode: 'host', PidMode: 'host', UTSMode: 'host', UsernsMode: 'keep-id', CgroupParent: '/x', BlkioWeight: 10, CpuPeriod: 1, CpuQuota: 1, CpusetMems: '0',
    MemorySwappiness: 5, OomKillDisable: true, DeviceRequests: [{ Count: -1 }], StorageOpt: { size: '1G' }, MaskedPaths: [], CgroupnsMode: 'host',
  }).map(([member, value]) => [{ HostConfig: { [member]: value } }, `HostConfig.${member}`] as const),
  [{ HostConfig: { Memory: 5 } }, 'HostConfig.Memory'],
  [{ HostConfig: { MemorySwap: 100_000_000 } }, 'HostConfig.MemorySwap'],
  [{ HostConfig: { NetworkMode: 'container:nobody' } }, 'HostConfig.NetworkMode'],
  [{ HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '70000' }] } } }, 'HostConfig.PortBindings.80/tcp[0].HostPort'],
  [{ HostConfig: { PortBindings: { '80/tcp': [{ HostIp: 'x' }] } } }, 'HostConfig.PortBindings.80/tcp[0].HostIp'],
  [{ HostConfig: { Binds: ['/a:/'] } }, 'HostConfig.Binds[0]'],
  [{ HostConfig: { Binds: ['/a:/x:nope'] } }, 'HostConfig.Binds[0]'],
  [{ HostConfig: { Binds: ['/a:/x', '/b:/x'] } }, 'Duplicate mount point: /x'],
  [{ HostConfig: { Binds: ['x:/x'] } }, 'HostConfig.Binds[0]'],
  [{ HostConfig: { Binds: ['data:/x:rshared'] } }, 'HostConfig.Binds[0]'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Source: 'v', Target: '/v' }] } }, 'HostConfig.Mounts[0].Source'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Source: 'data', Target: 'v' }] } }, 'HostConfig.Mounts[0].Target'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Source: 'data', Target: '/v', BindOptions: {} }] } }, 'HostConfig.Mounts[0].BindOptions'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Target: '/v', VolumeOptions: { DriverConfig: { Name: 'nfs' } } }] } }, 'HostConfig.Mounts[0].VolumeOptions.DriverConfig.Name'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Target: '/v', VolumeOptions: { DriverConfig: { Options: { o: 'size=1m' } } } }] } }, 'HostConfig.Mounts[0].VolumeOptions.DriverConfig.Options'],
  [{ HostConfig: { Mounts: [{ Type: 'volume', Target: '/v', VolumeOptions: { Subpath: 'x' } }] } }, 'HostConfig.Mounts[0].VolumeOptions.Subpath'],
  [{ HostConfig: { Mounts: [{ Type: 'image', Source: 'v', Target: '/v' }] } }, 'HostConfig.Mounts[0].Type'],
  [{ HostConfig: { Mounts: [{ Type: 'bind', Source: 'v', Target: '/v' }] } }, 'HostConfig.Mounts[0].Source'],
  [{ HostConfig: { Mounts: [{ Type: 'bind', Source: '/v' }] } }, 'HostConfig.Mounts[0]'],
  [{ HostConfig: { VolumesFrom: [''] } }, 'HostConfig.VolumesFrom[0]'],
  [{ HostConfig: { VolumesFrom: ['nobody:nope'] } }, 'HostConfig.VolumesFrom[0]'],
  [{ HostConfig: { VolumesFrom: ['nobody:nocopy'] } }, 'HostConfig.VolumesFrom[0]'],
  [{ HostConfig: { VolumesFrom: 'nobody' } }, 'HostConfig.VolumesFrom'],
  [{ HostConfig: { Tmpfs: { '/x': 'size=many' } } }, 'HostConfig.Tmpfs./x'],
  [{ HostConfig: { Ulimits: [{ Name: 'nofile', Soft: 20, Hard: 10 }] } }, 'HostConfig.Ulimits[0].Soft'],
  [{ HostConfig: { Ulimits: [{ Name: 'nope' }] } }, 'HostConfig.Ulimits[0].Name'],
  [{ HostConfig: { Devices: [{ PathOnHost: 'x' }] } }, 'HostConfig.Devices[0].PathOnHost'],
  [{ HostConfig: { SecurityOpt: ['seccomp={"a":1}'] } }, 'HostConfig.SecurityOpt[0]'],
  [{ HostConfig: { RestartPolicy: { Name: 'sometimes' } } }, 'HostConfig.RestartPolicy.Name'],
  [{ HostConfig: { RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } } }, 'HostConfig.RestartPolicy.MaximumRetryCount'],
  [{ HostConfig: { AutoRemove: true, RestartPolicy: { Name: 'always' } } }, 'HostConfig.AutoRemove'],
  [{ HostConfig: { LogConfig: { Type: 'syslog' } } }, 'HostConfig.LogConfig.Type'],
  [{ HostConfig: { LogConfig: { Type: 'json-file', Config: { 'max-size': 'big' } } } }, 'HostConfig.LogConfig.Config.max-size'],
];

test('each setting of a create body that cannot be, or does not take effect, is refused by its name', async () => {
  for (const [body, field] of settings) isRefusal(await create(body), 400, field);
  const list = (await api.ask('GET', '/containers/json?all=1')).json as { Names: string[] }[];
  assert.ok(list.length < 10, 'nothing was created by the way');
});

test('parameters of the path and the query', async () => {
  const cases: readonly (readonly [method: string, path: string, status: number | readonly number[], field: string | RegExp])[] = [
    ['POST', '/containers/create?name=a%20b', 400, 'name'],
    ['POST', '/containers/create?name=..%2F..%2Fetc', 400, 'name'],
    ['POST', `/containers/create?name=${'x'.repeat(300)}`, 400, 'name'],
    ['POST', '/containers/create?name=a%00b', 400, 'name'],
    ['POST', '/containers/create?name=%ff%fe', 400, 'name'],
    ['GET', '/containers/%00/json', 400, 'id'],
    ['GET', '/containers/%ff/json', 400, /path|id/],
    ['GET', '/containers/%zz/json', 400, 'path'],
    ['GET', '/containers/..%2f..%2fetc/json', 404, 'No such container'],
    ['GET', `/containers/${'a'.repeat(2_000)}/json`, [400, 404, 414], /id|path|found/],
    ['POST', `/containers/${id}/stop?t=-2`, 400, 't'],
    ['POST', `/containers/${id}/stop?t=1e99`, 400, 't'],
    ['POST', `/containers/${id}/stop?t=99999999999999999999999`, 400, 't'],
    ['POST', `/containers/${id}/stop?t=ten`, 400, 't'],
    ['POST', `/containers/${id}/stop?signal=NOPE`, 400, 'signal'],
    ['POST', `/containers/${id}/kill?signal=999`, 400, 'signal'],
    ['POST', `/containers/${id}/resize?h=-1&w=10`, 400, 'h'],
    ['POST', `/containers/${id}/resize?h=10`, 400, 'w'],
    ['POST', `/containers/${id}/wait?condition=never`, 400, 'condition'],
    ['POST', `/containers/${id}/rename`, 400, 'name'],
    ['POST', `/containers/${id}/rename?name=a/b`, 400, 'name'],
    ['DELETE', `/containers/${id}?link=1`, 400, 'link'],
    ['GET', `/containers/${id}/logs`, 400, 'stdout'],
    ['GET', `/containers/${id}/logs?stdout=1&tail=-5`, 400, 'tail'],
    ['GET', `/containers/${id}/logs?stdout=1&since=yesterday`, 400, 'since'],
    ['GET', `/containers/${id}/archive`, 400, 'path'],
    ['GET', `/containers/${id}/archive?path=`, 400, 'path'],
    ['GET', `/containers/${id}/archive?path=%00`, 400, 'path'],
    ['GET', `/containers/${id}/archive?path=${'x'.repeat(5_000)}`, 400, 'path'],
    ['PUT', `/containers/${id}/archive`, 400, 'path'],
    ['PUT', `/containers/${id}/archive?path=/`, 400, 'the body'],
    ['GET', '/containers/json?limit=many', 400, 'limit'],
    ['GET', '/containers/json?filters=nope', 400, 'filters'],
    ['GET', '/containers/json?filters=[]', 400, 'filters'],
    ['GET', '/containers/json?filters={"nope":["x"]}', 400, 'nope'],
    ['GET', '/containers/json?filters={"status":[1]}', 400, 'filters.status'],
    ['GET', '/containers/json?filters={"status":["odd"]}', 400, 'filters.status'],
    ['GET', '/containers/json?filters={"exited":["x"]}', 400, 'filters.exited'],
    ['GET', '/containers/json?filters={"name":["("]}', 400, 'filters.name'],
    ['GET', '/containers/json?filters={"name":["(a*)*b"]}', 400, 'filters.name'],
    ['GET', '/containers/json?filters={"publish":["x"]}', 400, 'filters.publish'],
    ['GET', '/containers/json?filters={"before":["nobody"]}', 404, 'nobody'],
    ['POST', '/containers/prune?filters={"until":["soon"]}', 400, 'filters.until'],
    ['GET', '/events?since=soon', 400, 'since'],
    ['GET', '/nowhere', 404, 'page not found'],
    ['GET', '/v1.99/containers/json', 400, 'client version 1.99 is too new. Maximum supported API version is 1.43'],
    ['GET', '/v1.20/containers/json', 400, 'client version 1.20 is too old. Minimum supported API version is 1.24'],
    ['POST', '/v1.43/networks/create', 501, 'NetworkCreate'],
    ['GET', '/networks/mine', 404, 'mine'],
    ['GET', '/networks/bridge?scope=swarm', 404, 'swarm'],
    ['GET', '/networks?filters={"colour":["red"]}', 400, 'colour'],
    ['GET', '/networks?filters={"type":["odd"]}', 400, 'filters.type'],
    ['GET', '/volumes?filters={"dangling":["maybe"]}', 400, 'filters.dangling'],
    ['GET', '/volumes?filters={"colour":["red"]}', 400, 'colour'],
    ['GET', '/volumes/nosuch', 404, 'nosuch'],
    ['GET', '/volumes/a b', 404, 'no such volume'],
    ['DELETE', '/volumes/nosuch', 404, 'nosuch'],
    ['POST', '/volumes/prune?filters={"all":["some"]}', 400, 'filters.all'],
    ['PUT', '/volumes/data', 501, 'VolumeUpdate'],
    ['POST', '/auth', 501, 'SystemAuth'],
    ['GET', `/containers/${id}/changes`, 501, 'ContainerChanges'],
    ['GET', `/containers/${id}/stats?stream=1&one-shot=1`, 400, 'one-shot'],
    ['GET', '/containers/nosuch/stats', 404, 'nosuch'],
  ];
  for (const [method, path, status, field] of cases) {
    const answer = await api.ask(method, encodeQuery(path), method === 'POST' && path.startsWith('/containers/create') ? { body: { Image: 'busybox' } } : {});
    try {
      isRefusal(answer, status, field);
    } catch (error) {
      throw new Error(`${method} ${path}`, { cause: error });
    }
  }
});

const encodeQuery = (path: string): string => path.replaceAll(/[{}"[\]()* ]/g, (char) => encodeURIComponent(char));

test('unknown ids are 404 at every endpoint', async () => {
  const unknown = 'f'.repeat(64);
  const cases = [
    ['GET', 'json'], ['GET', 'top'], ['GET', 'logs?stdout=1'], ['POST', 'start'], ['POST', 'stop'], ['POST', 'restart'], ['POST', 'kill'], ['POST', 'pause'], ['POST', 'unpause'], ['POST', 'wait'],
    ['POST', 'rename?name=xy'], ['GET', 'archive?path=/'], ['PUT', 'archive?path=/'], ['POST', 'resize?h=1&w=1'], ['POST', 'attach?stream=1'],
  ] as const;
  for (const [method, rest] of cases) isRefusal(await api.ask(method, `/containers/${unknown}/${rest}`), 404, 'No such container');
  isRefusal(await api.ask('DELETE', `/containers/${unknown}`), 404, 'No such container');
  isRefusal(await api.ask('POST', `/containers/${unknown}/exec`, { body: { Cmd: ['x'] } }), 404, 'No such container');
  for (const [method, rest] of [['GET', 'json'], ['POST', 'start'], ['POST', 'resize?h=1&w=1']] as const) isRefusal(await api.ask(method, `/exec/${unknown}/${rest}`), 404, 'No such exec instance');
});

test('an unfit HTTP request ends its own connection only', async () => {
  for (const bytes of ['GARBAGE\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(80_000)}\r\n\r\n`]) {
    const socket = api.dial();
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  assert.equal((await api.ask('GET', '/_ping')).text, 'OK');
});

test('any JSON as a create body is created or refused, never an error of ours', { timeout: 120_000 }, async () => {
  const known = ['Image', 'Cmd', 'Env', 'Labels', 'HostConfig', 'Tty', 'User', 'ExposedPorts', 'Entrypoint', 'NetworkingConfig', 'Healthcheck', 'StopTimeout'];
  const hostKnown = ['Binds', 'Mounts', 'PortBindings', 'Memory', 'Ulimits', 'RestartPolicy', 'LogConfig', 'SecurityOpt', 'Tmpfs', 'Devices', 'NetworkMode', 'ExtraHosts'];
  const body = fc.dictionary(fc.constantFrom(...known), fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.dictionary(fc.constantFrom(...hostKnown), fc.jsonValue({ maxDepth: 3 }))));
  await fc.assert(fc.asyncProperty(body, async (value) => {
    const { status, text } = await api.ask('POST', '/containers/create', { body: value });
    assert.ok(status === 201 || (status >= 400 && status < 500), `${status} ${text}`);
  }), { numRuns: 300 });
});

test('any path and query is answered with less than 500', { timeout: 120_000 }, async () => {
  const part = fc.oneof(fc.constantFrom('containers', 'json', 'exec', 'images', 'start', 'v1.43', 'victim', '..', '%2e%2e', '%00', '%ff', ''), fc.string({ maxLength: 20 }).filter((text) => text.isWellFormed()).map((text) => encodeURIComponent(text)));
  const path = fc.tuple(fc.array(part, { maxLength: 5 }), fc.constantFrom('', '?t=1', '?filters=%7B', '?all=%00', '?signal=%ff'));
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'POST', 'DELETE', 'HEAD', 'PUT'), path, async (method, [parts, query]) => {
    if (parts.includes('events')) return;
    const { status, text } = await api.ask(method, `/${parts.join('/')}${query}`);
    assert.ok(status < 500 || status === 501, `${method} ${parts.join('/')} → ${status} ${text}`);
  }), { numRuns: 300 });
});
