// The picture of tasks, where answers and events of containerd overtake each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Containerd, ContainerdEvent, TaskProcess } from '@pouch/containerd';
import { Tasks } from '../../../services/agent/src/tasks/tasks.ts';

const silent = { info() {}, warn() {} };
const id = 'a'.repeat(64);
const running: TaskProcess = {
  containerId: id, execId: '', pid: 42, status: 'RUNNING', stdin: '', stdout: 'binary:///log?start=s1', stderr: '', terminal: false, exitStatus: 0, exitedAt: null,
};

test('an older answer does not bring a task back whose end has been told', async () => {
  const answer = Promise.withResolvers<TaskProcess>();
  const listed = Promise.withResolvers<void>();
  let tell: (event: ContainerdEvent) => void = () => undefined;
  const containerd = {
    events: {
      subscribe: async (_filters: string[], onEvent: typeof tell, { signal }: { signal: AbortSignal }) => {
        tell = onEvent;
        return { ended: new Promise<void>((resolve) => { signal.addEventListener('abort', () => resolve()); }), close: () => undefined };
      },
    },
    tasks: { list: async () => [running], get: () => answer.promise },
  } as unknown as Containerd;
  const tasks = new Tasks({ containerd, logger: silent, now: () => 1_000, onChange: () => undefined, onOom: () => undefined, onListed: listed.resolve });
  tasks.start();
  await listed.promise;
  assert.equal(tasks.get(id)?.status, 'running');
  const refreshed = tasks.refresh(id);
  tell({ type: 'task-exit', namespace: 'pouch', topic: '/tasks/exit', timestamp: null, containerId: id, execId: '', pid: 42, exitStatus: 3, exitedAt: null });
  answer.resolve(running);
  await refreshed;
  assert.deepEqual([tasks.get(id)?.status, tasks.get(id)?.exit?.code], ['stopped', 3]);
  await tasks.stop();
});
