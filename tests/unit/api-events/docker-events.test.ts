// Which of Docker's events stand for what is in the log, and which of them a client's filters let through.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMessage } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import { dockerEventLine, dockerEvents, familiarName, withoutTag, type DockerEvent } from '../../../services/api/src/events/docker-events.ts';
import { eventFilter, eventFilterNames, historyFilterOf } from '../../../services/api/src/events/docker-filters.ts';
import { parseFilters } from '../../../services/api/src/http/filters.ts';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';

/** Every Docker event of a log, in order, with what went before each message. */
function eventsOf(log: LogOfEntries): DockerEvent[] {
  const last = new Map<string, Container>();
  const byId = new Map<string, Container>();
  return log.entries.flatMap((entry) => {
    const message = toMessage(JSON.parse(Buffer.from(entry.payload).toString()));
    const previous = last.get(entry.subject) ?? null;
    const events = dockerEvents({ message, storedAtMs: entry.storedAtMs }, { previous: () => previous, container: (id) => byId.get(id) ?? null });
    if (message.kind === 'container') {
      last.set(entry.subject, message.snapshot as Container);
      byId.set((message.snapshot as Container).id, message.snapshot as Container);
    }
    return events;
  });
}

const actions = (log: LogOfEntries) => eventsOf(log).map(({ Action }) => Action);
const request = (log: LogOfEntries, commandId: string, action: Parameters<LogOfEntries['container']>[2] & { type: 'RequestAction' }) => log.container('host-1' as never, idOf(1), { ...action, commandId });

test('a life from create to destroy, with the attributes that Docker gives', () => {
  const log = new LogOfEntries({ nowMs: 1_700_000_000_000 });
  log.create(1, { name: 'web', spec: { labels: { tier: 'front', name: 'fake' } } });
  const startId = log.start(1);
  log.exit(1, startId, 3);
  log.remove(1);
  const events = eventsOf(log);
  assert.deepEqual(events.map(({ Action }) => Action), ['create', 'start', 'die', 'destroy']);
  const die = events[2];
  assert.ok(die !== undefined);
  assert.deepEqual(die.Actor, { ID: idOf(1), Attributes: { tier: 'front', image: 'busybox', name: 'web', 'node.name': 'host-1', execDuration: '0', exitCode: '3' } });
  assert.deepEqual([die.Type, die.status, die.id, die.from, die.scope], ['container', 'die', idOf(1), 'busybox', 'local']);
  assert.equal(die.time, 1_700_000_000);
  const line = dockerEventLine(die);
  assert.match(line, /"timeNano":17000000000\d{8}}\n$/);
  assert.equal((JSON.parse(line) as { Action: string }).Action, 'die');
});

test('a restart that was asked for is die, start, restart; one by policy is die, start', () => {
  const log = new LogOfEntries();
  log.create(1, { spec: { restartPolicy: { name: 'always', maximumRetryCount: 0 } } });
  const first = log.start(1);
  request(log, 'again', { type: 'RequestAction', commandId: '', action: { kind: 'restart', signal: 'SIGTERM', timeoutSeconds: 1 } });
  log.exit(1, first, 143);
  const run = { startId: 'again', startedAtMs: 9, pid: 1, network: { ipAddress: null, prefixLength: null, gateway: null, macAddress: null, ports: [] } };
  log.container('host-1' as never, idOf(1), { type: 'ReportStarted', run, byPolicy: false });
  log.exit(1, 'again', 1);
  log.container('host-1' as never, idOf(1), { type: 'ReportStarted', run: { ...run, startId: 'policy' }, byPolicy: true });
  assert.deepEqual(actions(log), ['create', 'start', 'die', 'start', 'restart', 'die', 'start']);
});

test('a stop is kill with its signal, die, stop; kill, pause, unpause, oom and rename are themselves', () => {
  const log = new LogOfEntries();
  log.create(1, { name: 'a1' });
  const startId = log.start(1);
  const on = (command: Parameters<LogOfEntries['container']>[2]) => log.container('host-1' as never, idOf(1), command);
  on({ type: 'ReportPaused', commandId: null });
  on({ type: 'ReportUnpaused', commandId: null });
  on({ type: 'ReportOomKilled' });
  on({ type: 'RenameContainer', name: 'b1' });
  request(log, 'k', { type: 'RequestAction', commandId: '', action: { kind: 'kill', signal: 'SIGUSR1' } });
  on({ type: 'ReportSignalled', commandId: 'k', signal: 'SIGUSR1' });
  request(log, 's', { type: 'RequestAction', commandId: '', action: { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 10 } });
  log.exit(1, startId, 143);
  const events = eventsOf(log);
  assert.deepEqual(events.map(({ Action }) => Action), ['create', 'start', 'pause', 'unpause', 'oom', 'rename', 'kill', 'kill', 'die', 'stop']);
  assert.deepEqual([events[5]?.Actor.Attributes['oldName'], events[5]?.Actor.Attributes['name']], ['/a1', 'b1']);
  assert.deepEqual([events[6]?.Actor.Attributes['signal'], events[7]?.Actor.Attributes['signal']], ['10', '15']);
  const times = events.map(({ timeNano }) => timeNano);
  assert.equal(new Set(times).size, times.length, 'no two events have the same time');
});

test('execs are events of their container, images and hosts of themselves', () => {
  const log = new LogOfEntries();
  log.join('host-1');
  log.create(1, { name: 'web' });
  log.exec(1, 1, 3);
  log.pull(1, 'docker.io/library/busybox:latest');
  log.untag(1, true);
  const events = eventsOf(log);
  assert.deepEqual(events.map(({ Type, Action }) => `${Type} ${Action}`), ['node create', 'container create', 'container exec_create: true', 'container exec_start: true', 'container exec_die', 'image pull', 'image untag', 'image delete']);
  assert.deepEqual([events[4]?.Actor.ID, events[4]?.Actor.Attributes['exitCode'], events[4]?.Actor.Attributes['name']], [idOf(1), '3', 'web']);
  assert.deepEqual([events[5]?.Actor.ID, events[5]?.Actor.Attributes['name']], ['busybox:latest', 'busybox']);
});

test('events of types that are not known yet are passed over', () => {
  const log = new LogOfEntries();
  log.create(1);
  log.append('container', `evt.container.host-1.${idOf(1)}`, [{ type: 'ContainerTeleported', atMs: 1 } as never]);
  assert.deepEqual(actions(log), ['create']);
});

test('filters: alternatives within one, all of different ones, labels all, execs by their first word', () => {
  const log = new LogOfEntries();
  log.join();
  log.create(1, { name: 'web', spec: { labels: { a: '1', b: '2' } } });
  log.create(2, { name: 'db' });
  log.exec(1, 1, 3);
  log.pull(1, 'docker.io/library/busybox:latest');
  const events = eventsOf(log);
  const told = (filters: object) => events.filter(eventFilter(parseFilters(JSON.stringify(filters), eventFilterNames))).map(({ Type, Action, Actor }) => `${Type} ${Action} ${Actor.Attributes['name']}`);
  assert.equal(told({}).length, events.length);
  assert.deepEqual(told({ type: ['image', 'node'] }), ['node create one', 'image pull busybox']);
  assert.deepEqual(told({ container: ['web'], event: ['create', 'exec_die'] }), ['container create web', 'container exec_die web']);
  assert.deepEqual(told({ container: [idOf(2).slice(0, 8)] }), ['container create db']);
  assert.deepEqual(told({ event: ['exec_create'] }), ['container exec_create: true web']);
  assert.deepEqual(told({ label: ['a=1', 'b'], event: ['create'] }), ['container create web']);
  assert.deepEqual(told({ label: ['a=1', 'c'] }), []);
  assert.deepEqual(told({ image: ['busybox:latest'] }), ['image pull busybox']);
  assert.equal(told({ image: ['busybox'], type: ['container'] }).length, 5);
  assert.equal(told({ daemon: ['host-1'] }).length, events.length);
  assert.deepEqual(told({ daemon: ['host-2'] }), []);
  assert.deepEqual(told({ volume: ['x'] }), []);
  assert.deepEqual(told({ scope: ['swarm'] }), ['node create one']);
  assert.throws(() => told({ colour: ['red'] }), /invalid filter/);
  assert.deepEqual(historyFilterOf(parseFilters('{"type":["image"]}', eventFilterNames)), { kinds: ['image'] });
  assert.deepEqual(historyFilterOf(parseFilters('{"type":["volume"]}', eventFilterNames)), { kinds: ['volume'] });
  assert.deepEqual(historyFilterOf(parseFilters('{"type":["network"]}', eventFilterNames)), { kinds: [] });
});

test('names as people write them', () => {
  assert.equal(familiarName('docker.io/library/busybox:latest'), 'busybox:latest');
  assert.equal(familiarName('docker.io/me/app:1'), 'me/app:1');
  assert.equal(familiarName('quay.io/a/b:1'), 'quay.io/a/b:1');
  assert.equal(withoutTag('localhost:5000/app'), 'localhost:5000/app');
  assert.equal(withoutTag('localhost:5000/app:1'), 'localhost:5000/app');
  assert.equal(withoutTag('app@sha256:00'), 'app');
});

test('a change of health is told as Docker tells it, and found by its filter', () => {
  const log = new LogOfEntries();
  log.create(1);
  const startId = log.start(1);
  log.container('host-1' as never, idOf(1), { type: 'ReportHealth', startId, health: 'healthy' });
  log.container('host-1' as never, idOf(1), { type: 'ReportHealth', startId, health: 'unhealthy' });
  assert.deepEqual(actions(log), ['create', 'start', 'health_status: healthy', 'health_status: unhealthy']);
  const test = eventFilter(parseFilters('{"event":["health_status"]}', eventFilterNames));
  assert.equal(eventsOf(log).filter(test).length, 2);
});
