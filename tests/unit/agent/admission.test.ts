// What a host lets in: no more than it has, whoever asked, also for containers that come at once and after a restart of the agent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerId, decideContainer, evolveContainer, noRules, type Container, type ContainerCommand } from '@pouch/domain';
import { Admission } from '../../../services/agent/src/containers/admission.ts';
import { aHostId, aSpec } from '../../fixtures/domain.ts';

const gib = 2 ** 30;
const capacity = { cpuNanos: 4e9, memoryBytes: 4 * gib, pids: 100 };

function host() {
  const known = new Map<string, Container>();
  const book = { ids: () => [...known.keys()], local: (id: string) => known.get(id) ?? null };
  return {
    book,
    assign(digit: string, memoryBytes: number): Container {
      const id = containerId(digit.repeat(64));
      return this.tell(id, { type: 'AssignContainer', id, hostId: aHostId, name: digit.repeat(2), spec: aSpec({ placement: { ...noRules, reserve: { cpuNanos: 0, memoryBytes, pids: 0 } } }) });
    },
    tell(id: string, command: ContainerCommand): Container {
      const state = known.get(id) ?? null;
      const decision = decideContainer(state, command, 1);
      if (!decision.ok) throw new Error(decision.refusal.message);
      const after = decision.events.reduce<Container | null>(evolveContainer, state) as Container;
      known.set(id, after);
      return after;
    },
  };
}

test('containers that come at once count each other as soon as they are let in, and not before', () => {
  const here = host();
  const admission = new Admission(capacity, here.book);
  const [a, b, c] = [here.assign('a', 2 * gib), here.assign('b', 2 * gib), here.assign('c', 2 * gib)];
  assert.equal(admission.admit(a), null);
  assert.equal(admission.admit(b), null);
  assert.match(admission.admit(c) ?? '', /2 GiB of memory are to be reserved and 0 B of 4 GiB are left/);
  // Asked again, as after a step that failed, it counts once.
  assert.equal(admission.admit(a), null);
  here.tell(a.id, { type: 'ReportCreated' });
  assert.match(admission.admit(c) ?? '', /are left/);
  here.tell(a.id, { type: 'ReportRemoved' });
  assert.equal(admission.admit(c), null);
});

test('after a restart of the agent what was being made asks again, beside what is there', () => {
  const here = host();
  const before = new Admission(capacity, here.book);
  const a = here.assign('a', 3 * gib);
  assert.equal(before.admit(a), null);
  here.tell(a.id, { type: 'ReportCreated' });
  const b = here.assign('b', 2 * gib);
  const c = here.assign('c', gib);
  const anew = new Admission(capacity, here.book);
  assert.match(anew.admit(b) ?? '', /are left/);
  assert.equal(anew.admit(c), null);
});
