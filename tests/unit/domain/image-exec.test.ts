// Rules of images and execs: what is news, what is told once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerId, decideExec, decideImage, evolveExec, evolveImage, execId, imageId, imageKey, type Exec, type ExecCommand, type Image, type ImageCommand, type ImageRecord } from '@pouch/domain';
import { aContainerId, aHostId } from '../../fixtures/domain.ts';

const record: ImageRecord = {
  id: imageId(`sha256:${'1'.repeat(64)}`), manifestDigest: `sha256:${'2'.repeat(64)}`, platform: { os: 'linux', architecture: 'amd64', variant: null }, sizeBytes: 1, createdAtMs: 0,
  author: '', comment: '', dockerVersion: '', layers: [], history: [],
  config: { entrypoint: [], cmd: [], env: [], workingDir: '', user: '', labels: {}, exposedPorts: [], volumes: [], stopSignal: '' },
};

function images(commands: readonly ImageCommand[]) {
  let state: Image | null = null;
  const seen: string[] = [];
  for (const command of commands) {
    const decision = decideImage(state, command, 1);
    seen.push(decision.ok ? decision.events.map((event) => event.type).join('+') : decision.refusal.code);
    if (decision.ok) for (const event of decision.events) state = evolveImage(state, event);
  }
  return { state: state as Image | null, seen };
}

const stored = (arrival: 'pulled' | 'found'): ImageCommand => ({ type: 'ReportImageStored', arrival, key: imageKey('0'.repeat(32)), hostId: aHostId, name: 'docker.io/library/busybox:latest', record });

test('a pull is told even when nothing was new, a find only once', () => {
  assert.deepEqual(images([stored('pulled'), stored('pulled'), stored('found')]).seen, ['ImageStored', 'ImageStored', '']);
});

test('a name is taken away once, and may come back', () => {
  const untag: ImageCommand = { type: 'ReportImageUntagged', deleted: true };
  const { state, seen } = images([untag, stored('found'), untag, untag, stored('found')]);
  assert.deepEqual(seen, ['not-found', 'ImageStored', 'ImageUntagged', '', 'ImageStored']);
  assert.equal(state?.state, 'present');
});

test('an exec is created, started and ended once each', () => {
  const create: ExecCommand = {
    type: 'CreateExec', id: execId('e'.repeat(64)), hostId: aHostId, containerId: containerId(aContainerId),
    spec: { args: ['true'], env: [], workingDir: '', user: '', tty: false, attach: { stdin: false, stdout: true, stderr: true }, privileged: false, detachKeys: '' },
  };
  const start: ExecCommand = { type: 'ReportExecStarted', pid: 7 };
  const end: ExecCommand = { type: 'ReportExecExited', exitCode: 3, error: null };
  let state: Exec | null = null;
  const seen: string[] = [];
  for (const command of [start, create, create, start, start, end, end]) {
    const decision = decideExec(state, command, 1);
    seen.push(decision.ok ? decision.events.map((event) => event.type).join('+') : decision.refusal.code);
    if (decision.ok) for (const event of decision.events) state = evolveExec(state, event);
  }
  assert.deepEqual(seen, ['not-found', 'ExecCreated', 'already-exists', 'ExecStarted', 'already-running', 'ExecExited', '']);
  assert.equal(state?.status === 'exited' && state.exitCode, 3);
});
