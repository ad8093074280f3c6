// What people see: sizes, durations, times, tables, templates, rows, event lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterContainer, ClusterEvent, VerifyReport } from '@pouch/contracts';
import { clusterEventLine } from '../../../packages/cli/src/commands/cluster-events.ts';
import { verifyText } from '../../../packages/cli/src/commands/cluster.ts';
import { eventLine } from '../../../packages/cli/src/commands/events.ts';
import { toFilters } from '../../../packages/cli/src/commands/filters.ts';
import { splitReference } from '../../../packages/cli/src/commands/pull.ts';
import { errorLine, CliError, UsageError } from '../../../packages/cli/src/errors.ts';
import { containerRow, portsText, statusText } from '../../../packages/cli/src/format/container-rows.ts';
import { LineJoiner, Prefixes, readDetails } from '../../../packages/cli/src/format/log-prefix.ts';
import { render } from '../../../packages/cli/src/format/output.ts';
import { humanDuration, humanMemory, humanSize } from '../../../packages/cli/src/format/sizes.ts';
import { displayWidth, shortened, table } from '../../../packages/cli/src/format/table.ts';
import { toTemplate } from '../../../packages/cli/src/format/template.ts';
import { durationMs, rfc3339Nano, toUnixTime } from '../../../packages/cli/src/format/times.ts';
import { progressBar } from '../../../packages/cli/src/progress/progress.ts';

test('sizes are decimal for images and binary for memory', () => {
  assert.deepEqual([0, 999, 1000, 4_310_000, 1_234_567_890].map(humanSize), ['0B', '999B', '1kB', '4.31MB', '1.23GB']);
  assert.deepEqual([0, 1024, 16_777_216_000].map(humanMemory), ['0B', '1KiB', '15.63GiB']);
});

test("durations are in docker's words", () => {
  const words = [[500, 'Less than a second'], [1000, '1 second'], [59_000, '59 seconds'], [60_000, 'About a minute'], [119_000, 'About a minute'], [120_000, '2 minutes'], [3_600_000, 'About an hour'], [7_200_000, '2 hours'], [172_800_000, '2 days'], [1_209_600_000, '2 weeks'], [5_184_000_000, '2 months'], [63_072_000_000, '2 years'], [-5, 'Less than a second']] as const;
  for (const [ms, expected] of words) assert.equal(humanDuration(ms), expected);
});

test('times: unix seconds, RFC 3339 and its shortenings, and how long ago', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  assert.equal(toUnixTime('--at', '1700000000.5', now), '1700000000.5');
  assert.equal(toUnixTime('--at', '10m', now), String(now / 1000 - 600));
  assert.equal(toUnixTime('--at', '1h30m', now), String(now / 1000 - 5400));
  assert.equal(toUnixTime('--at', '1.5s', now), String(now / 1000 - 1.5));
  assert.equal(toUnixTime('--at', '2026-01-31T12:00:00Z', now), String(now / 1000));
  assert.equal(toUnixTime('--at', '2026-01-31T13:00:00+01:00', now), String(now / 1000));
  assert.equal(toUnixTime('--at', '2026-01-31T12:00:00.123456789Z', now), `${now / 1000}.123456789`);
  assert.equal(toUnixTime('--at', '2026-01-31', now), String(new Date('2026-01-31T00:00:00').getTime() / 1000));
  for (const wrong of ['yesterday', '10', '2026-13-01T00:00:00Z', '', '5x'].filter((text) => text !== '10')) assert.throws(() => toUnixTime('--at', wrong, now), UsageError);
  assert.equal(durationMs('2d'), 172_800_000);
  assert.equal(durationMs('2'), null);
  assert.equal(rfc3339Nano(1_700_000_000_123_456_789n), '2023-11-14T22:13:20.123456789Z');
});

test('tables are aligned, also with wide characters, and no cell can forge a line', () => {
  assert.equal(table(['A', 'Bee'], [['long one', '1'], ['x', '']]), 'A          Bee\nlong one   1\nx\n');
  assert.equal(displayWidth('日本e\u0301'), 5);
  assert.equal(table(['N'], [['a\nb\x1b[2J']]), 'N\na\\nb\\u001b[2J\n');
  assert.equal(shortened('abcdef', 4), 'abc…');
});

test('templates: fields, functions, pipes; the rest is refused by name', () => {
  const value = { Name: 'web', State: { Code: 0 }, Labels: { 'a.b': 'c' }, List: ['x', 'y'], Missing: null };
  const cases: readonly (readonly [string, string])[] = [
    ['{{.Name}}\\t{{ .State.Code }}', 'web\t0'],
    ['{{json .}}', JSON.stringify(value)],
    ['{{json .State}}', '{"Code":0}'],
    ['{{.State | json}}', '{"Code":0}'],
    ['{{index .Labels "a.b"}}', 'c'],
    ['{{index .List 1}}', 'y'],
    ['{{len .List}} {{join .List ","}}', '2 x,y'],
    ['{{upper .Name}}', 'WEB'],
    ['{{.List}} {{.Labels}} {{.Missing}} {{.Nope.Deep}}', '[x y] map[a.b:c] <no value> <no value>'],
  ];
  for (const [source, expected] of cases) assert.equal(toTemplate(source)(value), expected);
  for (const wrong of ['{{range .List}}', '{{.Name', '{{if .Name}}x{{end}}', '{{unknown .}}', '{{constructor .}}']) assert.throws(() => toTemplate(wrong), UsageError);
  assert.equal(toTemplate('{{.constructor}}{{.__proto__}}')(value), '<no value><no value>');
});

test('lists render as table, JSON lines, template and table of a template', () => {
  const columns = [{ title: 'A', value: (row: { A: string; B: string }) => row.A }];
  const rows = [{ A: '1', B: 'x' }, { A: '22', B: 'y' }];
  assert.equal(render(undefined, columns, rows), 'A\n1\n22\n');
  assert.equal(render('json', columns, rows), '{"A":"1","B":"x"}\n{"A":"22","B":"y"}\n');
  assert.equal(render('{{.B}}', columns, rows), 'x\ny\n');
  assert.equal(render('table {{.A}}\\t{{.B}}', columns, rows), 'A    B\n1    x\n22   y\n');
});

test('rows of containers, now and in the past', () => {
  const row = containerRow({ Id: 'a'.repeat(64), Names: ['/web'], Image: 'busybox', Created: 1000, Status: 'Up 3 seconds', State: 'running', HostConfig: { Runtime: 'runc' } }, 61_000 + 1_000_000);
  assert.deepEqual([row.Name, row.Status, row.Runtime, row.RunningFor], ['web', 'Up 3 seconds', 'runc', 'About a minute ago']);
  assert.equal(portsText([{ IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }, { IP: '::', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }, { PrivatePort: 53, Type: 'udp' }]), '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 53/udp');
  const past: ClusterContainer = { id: 'a', name: 'web', hostId: 'h', status: 'exited', image: 'i', imageId: 'x', runtime: 'runc', command: [], labels: {}, createdAtMs: 0, startedAtMs: 1000, finishedAtMs: 2000, exitCode: 3, health: null, restartCount: 0, seq: 1 };
  assert.equal(statusText(past, 62_000), 'Exited (3) About a minute ago');
  assert.equal(statusText({ ...past, status: 'running' }, 4000), 'Up 3 seconds');
  assert.equal(statusText({ ...past, status: 'running', health: 'starting' }, 4000), 'Up 3 seconds (health: starting)');
  assert.equal(statusText({ ...past, status: 'paused' }, 4000), 'Up 3 seconds (Paused)');
  assert.equal(statusText({ ...past, status: 'created' }, 4000), 'Created');
});

test('events in one line', () => {
  assert.equal(eventLine({ Type: 'container', Action: 'start', Actor: { ID: 'abc', Attributes: { name: 'web', image: 'busybox' } }, time: 1_700_000_000, timeNano: 1_700_000_000_000_000_000 }), '2023-11-14T22:13:20.000000000Z container start abc (image=busybox, name=web)');
  const event: ClusterEvent = { seq: 42, subject: 's', kind: 'container', hostId: 'h1', id: 'abcdef0123456789', name: 'web', events: [{ type: 'ContainerStarted' }, { type: 'FromTheFuture' }], service: 'agent', actor: 'agent', cause: null, commandId: 'c', atMs: 1_700_000_000_123, storedAtMs: 0 };
  assert.equal(clusterEventLine(event), '42 2023-11-14T22:13:20.123Z container web (abcdef012345 on h1) ContainerStarted, FromTheFuture by agent');
  assert.equal(clusterEventLine({ ...event, kind: 'host', id: 'h1', name: null, actor: 'root', service: 'api' }), '42 2023-11-14T22:13:20.123Z host h1 ContainerStarted, FromTheFuture by root through api');
  const line = (one: ClusterEvent['events'][number]): string => clusterEventLine({ ...event, events: [one] }).replace(/^.*h1\) /, '');
  assert.equal(line({ type: 'ContainerExited', exit: { exitCode: 137 } } as never), 'ContainerExited (exit 137) by agent');
  assert.equal(line({ type: 'ContainerRequested', action: { kind: 'kill', signal: 'SIGHUP' } } as never), 'ContainerRequested (kill, SIGHUP) by agent');
  assert.equal(line({ type: 'PlacementRefused', message: 'no\n\u001b[2Jhost' } as never), 'PlacementRefused (no\\n\\u001b[2Jhost) by agent');
  assert.equal(line({ type: 'AccessRefused', refusals: [{ reason: 'needs operate' }, {}] } as never), 'AccessRefused (needs operate, and 1 more) by agent');
  assert.equal(line({ type: 'FromTheFuture', message: 'x'.repeat(300), exit: 7, refusals: null } as never), `FromTheFuture (${'x'.repeat(199)}…) by agent`);
});

test('the report of verify tells what differs', () => {
  const report: VerifyReport = { ok: true, checked: 10, subjects: 2, seq: 12, passedOver: 0, mismatches: [], mismatchCount: 0, tookMs: 1234 };
  assert.match(verifyText(report), /agree: 10 messages of 2 aggregates, up to sequence 12, in 1.23 s/);
  const wrong: VerifyReport = { ...report, ok: false, passedOver: 1, mismatchCount: 2, mismatches: [{ subject: 'evt.container.h.c', seq: 3, problem: 'fold', message: 'status differs' }] };
  assert.match(verifyText(wrong), /2 mismatches[\s\S]*passed over[\s\S]*fold +evt\.container\.h\.c at 3: status differs\n… and 1 more/);
});

test('references, filters, progress bars, error lines', () => {
  assert.deepEqual(['busybox', 'busybox:1', 'host:5000/a/b', 'host:5000/a/b:2', 'a@sha256:x', 'a:1@sha256:x'].map(splitReference), [
    { name: 'busybox', tag: 'latest' }, { name: 'busybox', tag: '1' }, { name: 'host:5000/a/b', tag: 'latest' }, { name: 'host:5000/a/b', tag: '2' }, { name: 'a', tag: 'sha256:x' }, { name: 'a', tag: 'sha256:x' },
  ]);
  assert.deepEqual(toFilters(['status=running', 'status=exited', 'label=a=b']), { status: ['running', 'exited'], label: ['a=b'] });
  assert.throws(() => toFilters(['status']), UsageError);
  assert.equal(progressBar(50, 100), '[===============>              ] 50B/100B');
  assert.equal(progressBar(100, 100), `[${'='.repeat(30)}] 100B/100B`);
  assert.equal(progressBar(5000, null), '5kB');
  assert.equal(progressBar(0, 100), '');
  assert.equal(errorLine(new CliError('one\ntwo', { hint: 'do this' })), 'pouch: one; two (do this)');
});

test('lines of a service are put together, and stand behind the names of their replicas', () => {
  const lines: string[] = [];
  const joiner = new LineJoiner((line) => lines.push(line.toString()));
  for (const chunk of ['on', 'e\ntwo\nth', 'ree', '\n']) joiner.push(Buffer.from(chunk));
  assert.deepEqual(lines, ['one\n', 'two\n', 'three\n']);
  assert.throws(() => { for (let written = 0; written < 20; written++) joiner.push(Buffer.alloc(64 * 1024, 'x')); }, /longer than 1048576 bytes/);

  const details = 'com.docker.swarm.node.id=h%2C1,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t1';
  const { taskId, hostId, before, after } = readDetails(Buffer.from(`2026-11-27T00:00:00.000000000Z ${details} a b=c\n`), true);
  assert.deepEqual([taskId, hostId, before, after.toString()], ['t1', 'h,1', '2026-11-27T00:00:00.000000000Z ', 'a b=c\n']);
  assert.equal(readDetails(Buffer.from(`${details} \n`), false).after.toString(), '\n');
  assert.throws(() => readDetails(Buffer.from('no details at all\n'), false), /whose lines/);

  const prefixes = new Prefixes((text, colour) => `<${colour}>${text}`);
  const id = '0123456789abcdef'.repeat(4);
  prefixes.add({ id, name: 'web.1.0123456789ab', slot: 1, hostId: 'host-a' }, true);
  prefixes.add({ id: `f${id.slice(1)}`, name: 'web.2.f', slot: 2, hostId: 'b' }, false);
  assert.deepEqual([prefixes.knows(id.slice(0, 25)), prefixes.knows('other')], [true, false]);
  assert.equal(prefixes.of(`f${id.slice(1, 25)}`, 'b'), '<green>web.2.f@b                ');
  assert.equal(prefixes.of(id.slice(0, 25), 'host-a'), '<yellow>web.1.0123456789ab@host-a');
  assert.equal(prefixes.of('other', 'x'), '<cyan>other@x                  ');
});
