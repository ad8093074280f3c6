// What containers say of their placement: read as classic Swarm wrote it, refused with what would be right, matched within bounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern, noRules, parseExpression, readPlacementRules } from '@pouch/domain';

const read = (env: readonly string[], labels: Record<string, string> = {}) => {
  const answer = readPlacementRules(env, labels);
  return answer.ok ? answer.value : answer.problem;
};

test('entries that are rules leave the environment, all others stay as they are', () => {
  const answer = read(['A=1', 'constraint:node==a', 'affinity:image!=~x', 'reschedule:on-node-failure', 'constraint=kept', 'URL=constraint:x', 'http://x=1', '']);
  assert.ok(typeof answer === 'object');
  assert.deepEqual(answer.env, ['A=1', 'constraint=kept', 'URL=constraint:x', 'http://x=1', '']);
  assert.deepEqual(answer.rules.constraints.map(({ key, negated, soft }) => [key, negated, soft]), [['node', false, false]]);
  assert.deepEqual(answer.rules.affinities.map(({ key, negated, soft, text }) => [key, negated, soft, text]), [['image', true, true, 'image!=~x']]);
  assert.equal(answer.rules.rescheduleOnHostLoss, true);
});

test('a container that says nothing has no rules', () => {
  assert.deepEqual(read(['A=1'], { 'io.pouch.other': 'x', plain: 'y' }), { rules: noRules, env: ['A=1'] });
});

test('labels say everything; several expressions have several labels', () => {
  const answer = read([], {
    'io.pouch.constraint': 'rack==r1', 'io.pouch.constraint.disk': 'disk==ssd', 'io.pouch.affinity.web': 'container==web', 'io.pouch.strategy': 'binpack', 'io.pouch.spread': 'zone, rack',
    'io.pouch.group': 'g', 'io.pouch.reschedule': 'on-host-loss', 'io.pouch.acceleration': 'kvm', 'io.pouch.reserve.cpus': '0.25', 'io.pouch.reserve.memory': '1.5g', 'io.pouch.reserve.pids': '10',
  });
  assert.ok(typeof answer === 'object');
  const { constraints, affinities, ...rest } = answer.rules;
  assert.deepEqual(constraints.map(({ text }) => text), ['rack==r1', 'disk==ssd']);
  assert.deepEqual(affinities.map(({ text }) => text), ['container==web']);
  assert.deepEqual(rest, { strategy: 'binpack', spreadOver: ['zone', 'rack'], group: 'g', rescheduleOnHostLoss: true, acceleration: 'kvm', reserve: { cpuNanos: 250_000_000, memoryBytes: 1.5 * 2 ** 30, pids: 10 } });
});

test('what is not right is refused with where it is and what would be right', () => {
  const cases: [readonly string[], Record<string, string>, RegExp][] = [
    [['A=1', 'constraint:rack=r1'], {}, /^Env\[1\]: constraint: "rack=r1" is not an expression: it must be key==value/],
    [['constraint:==r1'], {}, /is not an expression/],
    [['constraint:rack=='], {}, /has no value/],
    [['affinity:image==/[/'], {}, /not a regular expression/],
    [['affinity:image==/(a+)+b/'], {}, /a repetition of a group is not taken/],
    [['affinity:image==/a*b*c*d/'], {}, /more than 2 repetitions/],
    [['affinity:image==/(?=a)b/'], {}, /look-around/],
    [[`constraint:rack==${'x'.repeat(300)}`], {}, /longer than 256 characters/],
    [['reschedule:sometimes'], {}, /on-host-loss or never/],
    [Array.from({ length: 33 }, () => 'constraint:a==b'), {}, /^Env\[32\].*at most 32 constraints/],
    [[], { 'io.pouch.strategy': 'fast' }, /^Labels.io.pouch.strategy: there is no strategy "fast"; there are spread, binpack, random/],
    [[], { 'io.pouch.spread': ' , ' }, /1 to 4 labels/],
    [[], { 'io.pouch.reserve.cpus': '-1' }, /number of CPUs/],
    [[], { 'io.pouch.reserve.memory': 'lots' }, /a size such as 256m/],
    [[], { 'io.pouch.reserve.pids': '0' }, /number of processes/],
    [[], { 'io.pouch.acceleration': 'hyper' }, /kvm or tcg/],
    [[], { 'io.pouch.reschedule': 'yes' }, /on-host-loss or never/],
  ];
  for (const [env, labels, problem] of cases) assert.match(String(read(env, labels)), problem);
});

test('patterns match as written: plain, with asterisks, as expressions', () => {
  const matches = (pattern: string, text: string): boolean => {
    const parsed = parseExpression(`k==${pattern}`);
    if (!parsed.ok) throw new Error(parsed.problem);
    return compilePattern(parsed.value.pattern)(text);
  };
  const cases: [string, string, boolean][] = [
    ['web', 'web', true], ['web', 'webs', false], ['w*', 'web', true], ['*', '', true], ['*b', 'web', true], ['w*b*s', 'webs', true], ['w*b*s', 'ws', false], ['ab*ba', 'aba', false],
    ['a.b', 'axb', false], ['/a.b/', 'axb', true], ['/^a/', 'ba', false], ['/(?i)WEB/', 'web', true], ['/', '/', true], ['/[*+]+/', '+*', true],
  ];
  for (const [pattern, text, expected] of cases) assert.equal(matches(pattern, text), expected, `${pattern} on ${text}`);
});
