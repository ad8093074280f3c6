// Ways in which the life of a container goes, most of them wrong by what clients do: cut connections, bad commands, mounts and images, removals in
// the middle. Any runtime; what ends processes stands in injected.ts.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { buildBusyboxArchive } from '../../../scripts/busybox-image.ts';
import { tarOf } from '../../fixtures/images.ts';
import type { TestRegistry } from '../../fixtures/registry.ts';
import { ask, eventually, NoAnswer, readJson } from './client.ts';
import type { Random } from './random.ts';
import { firstBytes, type Requests } from './requests.ts';

export type Life = (name: string, random: Random) => Promise<void>;

const longSleep = { Cmd: ['sleep', '600'] };
const inTheMiddle = async (random: Random): Promise<void> => { await delay(random.between(0, 30)); };

/** Each leaves nothing that has not been asked to be removed. `registry` has the image `broken`, whose pulls are made to break off. */
export const waysToLive = (on: Requests, registry: TestRegistry): Readonly<Record<string, Life>> => ({
  async plain(name) {
    const id = await on.created(name);
    await on.start(id);
    assert.equal(await on.wait(id), 0);
    await on.remove(id);
  },
  async 'with a network and ports'(name) {
    const id = await on.created(name, { ...longSleep, ExposedPorts: { '80/tcp': {}, '53/udp': {} } }, { NetworkMode: 'bridge', PortBindings: { '80/tcp': [{ HostPort: '' }], '53/udp': [{ HostPort: '' }] } });
    await on.start(id);
    await on.post(`/containers/${id}/kill`);
    await on.wait(id);
    await on.remove(id);
  },
  async 'removed by itself'(name) {
    const id = await on.created(name, { Cmd: ['sh', '-c', 'exit 3'] }, { AutoRemove: true, NetworkMode: 'bridge' });
    await on.start(id);
    await eventually(`${name} is gone`, async () => (await ask(on.cluster.socket, 'GET', `/containers/${id}/json`)).status === 404 || undefined);
  },
  async 'attached, cut in the middle'(name, random) {
    const id = await on.created(name, { Cmd: ['sh', '-c', 'while :; do echo on and on; done'], Tty: random.oneIn(2) });
    await on.start(id);
    const socket = on.dial('POST', `/containers/${id}/attach?stream=1&stdout=1&logs=1`, { upgrade: random.oneIn(2) });
    await firstBytes(socket);
    socket.destroy();
    await on.remove(id);
  },
  async 'gone while attaching'(name, random) {
    const id = await on.created(name, { ...longSleep, OpenStdin: true });
    await on.start(id);
    for (const upgrade of [true, false]) {
      const socket = on.dial('POST', `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, { upgrade });
      await inTheMiddle(random);
      socket.destroy();
    }
    await on.remove(id);
  },
  async 'with input to its end'(name, random) {
    const id = await on.created(name, { Cmd: ['cat'], OpenStdin: true, StdinOnce: true, Tty: random.oneIn(3) });
    const socket = on.dial('POST', `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, { upgrade: true });
    await firstBytes(socket);
    await on.start(id);
    socket.resume();
    socket.write('some input\n');
    if (random.oneIn(3)) socket.destroy();
    else socket.end();
    if (random.oneIn(2)) await on.post(`/containers/${id}/kill`, undefined, [204, 409]);
    await on.remove(id);
    socket.destroy();
  },
  async 'with execs'(name, random) {
    const id = await on.created(name, longSleep);
    await on.start(id);
    const begin = async (Cmd: string[], more: object = {}): Promise<string> => (await on.post<{ Id: string }>(`/containers/${id}/exec`, { Cmd, AttachStdout: true, AttachStderr: true, AttachStdin: true, ...more })).Id;
    const whole = on.dial('POST', `/exec/${await begin(['echo', 'hello'])}/start`, { body: '{}', upgrade: true });
    whole.resume();
    const cut = on.dial('POST', `/exec/${await begin(['sh', '-c', 'while :; do echo more; done'], { Tty: true })}/start`, { body: '{"Tty":true}', upgrade: true });
    await firstBytes(cut);
    cut.destroy();
    const gone = on.dial('POST', `/exec/${await begin(['cat'])}/start`, { body: '{}', upgrade: random.oneIn(2) });
    await inTheMiddle(random);
    gone.destroy();
    const bad = await ask(on.cluster.socket, 'POST', `/exec/${await begin(['no-such-command'])}/start`, { body: { Detach: true } });
    assert.ok(bad.status >= 400 && bad.status < 500, `an exec of what is not there: ${bad.status} ${bad.text}`);
    await begin(['never', 'started']);
    await on.remove(id);
    whole.destroy();
  },
  async 'clients gone in the middle of everything'(name, random) {
    const making = on.dial('POST', `/containers/create?name=${name}`, { body: JSON.stringify(on.body(longSleep, { NetworkMode: 'bridge' })) });
    await inTheMiddle(random);
    making.destroy();
    for (const path of ['start', 'wait', 'stop?t=0', 'restart?t=0']) {
      const socket = on.dial('POST', `/containers/${name}/${path}`);
      await inTheMiddle(random);
      socket.destroy();
    }
    for (const path of [`/containers/${name}/logs?stdout=1&follow=1`, '/events', '/cluster/events', '/system/df', '/containers/json?size=1&all=1', `/containers/${name}/top`]) {
      const socket = on.dial('GET', path);
      await inTheMiddle(random);
      socket.destroy();
    }
  },
  async 'a command that is not there'(name, random) {
    const id = await on.created(name, { Cmd: ['/no/such/command'] }, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const { status, text } = await ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
    assert.ok(status === 400 || status === 404, `${status} ${text}`);
    assert.equal((await readJson<{ State: { ExitCode: number } }>(on.cluster.socket, `/containers/${id}/json`)).State.ExitCode, 127);
    await on.remove(id);
  },
  async 'a mount of nothing'(name) {
    const { status, text } = await ask(on.cluster.socket, 'POST', `/containers/create?name=${name}`, { body: on.body({}, { Mounts: [{ Type: 'bind', Source: '/no/such/directory', Target: '/mnt' }] }) });
    if (status === 201) {
      const answer = await ask(on.cluster.socket, 'POST', `/containers/${name}/start`);
      assert.ok(answer.status >= 400, `${answer.status} ${answer.text}`);
      await on.remove(name);
    } else assert.equal(status, 400, text);
  },
  async 'an image that is not there'(name) {
    assert.equal((await ask(on.cluster.socket, 'POST', `/containers/create?name=${name}`, { body: on.body({ Image: 'no-such-image' }) })).status, 404);
  },
  async 'removed while it starts'(name, random) {
    const id = await on.created(name, longSleep, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const starting = ask(on.cluster.socket, 'POST', `/containers/${id}/start`);
    await inTheMiddle(random);
    await on.remove(id);
    await starting;
  },
  async 'killed while it is stopped'(name) {
    const id = await on.created(name, { Cmd: ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done'] });
    await on.start(id);
    const stopping = ask(on.cluster.socket, 'POST', `/containers/${id}/stop?t=300`);
    await delay(50);
    await on.post(`/containers/${id}/kill`);
    assert.equal((await stopping).status, 204);
    await on.remove(id);
  },
  async 'paused and restarted'(name) {
    const id = await on.created(name, longSleep, { NetworkMode: 'bridge' });
    await on.start(id);
    await on.post(`/containers/${id}/restart?t=0`);
    await on.post(`/containers/${id}/pause`);
    await on.remove(id);
  },
  async 'crashing again and again'(name) {
    const id = await on.created(name, { Cmd: ['false'], Tty: true }, { RestartPolicy: { Name: 'always' }, NetworkMode: 'bridge' });
    await on.start(id);
    await eventually(`${name} is started again`, async () => (await readJson<{ RestartCount: number }>(on.cluster.socket, `/containers/${id}/json`)).RestartCount > 0 || undefined);
    await on.remove(id);
  },
  async 'logs that are followed, cut'(name) {
    const id = await on.created(name, { Cmd: ['sh', '-c', 'while :; do echo line; sleep 0.01; done'] });
    await on.start(id);
    const socket = on.dial('GET', `/containers/${id}/logs?follow=1&stdout=1`);
    await firstBytes(socket);
    socket.destroy();
    await on.remove(id);
  },
  async 'a pull that breaks off'(_name, random) {
    registry.options = { fault: ({ path }) => (path.includes('/blobs/') ? random.pick([{ breakAfter: 100 }, { status: 500 }, { replace: Buffer.from('something else') }]) : undefined) };
    const leave = new AbortController();
    if (random.oneIn(3)) setTimeout(() => leave.abort(), random.between(0, 100));
    try {
      const { text } = await ask(on.cluster.socket, 'POST', `/images/create?fromImage=${encodeURIComponent(`${registry.host}/broken`)}&tag=latest`, { signal: leave.signal });
      assert.match(text, /"error"|"message"/, 'a pull that breaks off says so');
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
  },
  async 'an archive that is none'(_name, random) {
    const archive = await buildBusyboxArchive('broken:load');
    const raw = random.pick([
      archive.subarray(0, random.between(1, archive.length - 2_000)), Buffer.from('no archive at all'),
      await tarOf([{ name: 'manifest.json', data: JSON.stringify([{ Config: '../../../../etc/passwd', RepoTags: ['x:y'], Layers: ['../escape.tar'] }]) }]),
    ]);
    const { status, text } = await ask(on.cluster.socket, 'POST', '/images/load', { raw, headers: { 'content-type': 'application/x-tar' } });
    assert.ok((status >= 400 && status < 500) || /"error"/.test(text), `a broken archive is refused: ${status} ${text.slice(0, 300)}`);
    const socket = on.dial('POST', '/images/load', { body: 'only the beginning' });
    await inTheMiddle(random);
    socket.destroy();
  },
});
