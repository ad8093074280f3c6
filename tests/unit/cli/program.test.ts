// The tree of commands: help everywhere, docker's ways of writing flags, and completions made from it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram, readConfig, type Program } from '@pouch/cli';
import { completionScript, entries } from '../../../packages/cli/src/commands/completion.ts';

const config = readConfig({ HOME: '/nonexistent' });
const commands = (command: Command): Command[] => [command, ...command.commands.flatMap(commands)];
const visible = (program: Program) => commands(program.command).filter((one) => !one.name().startsWith('__'));

/** Parses, with the action replaced by one that keeps what it was given. */
function parse(...args: string[]): { args: unknown[]; flags: Record<string, unknown> } {
  const { command } = createProgram(config);
  let got: { args: unknown[]; flags: Record<string, unknown> } | null = null;
  for (const one of commands(command)) if (one.commands.length === 0) one.action((...given: unknown[]) => void (got = { args: given.slice(0, -2), flags: given.at(-2) as Record<string, unknown> }));
  command.parse(args, { from: 'user' });
  assert.ok(got !== null);
  return got;
}

test('every command has help with a description and an example', () => {
  for (const one of visible(createProgram(config)).filter((command) => command.commands.length === 0 && command.name() !== 'help')) {
    let text = '';
    one.configureOutput({ writeOut: (part) => (text += part) });
    one.outputHelp();
    assert.match(text, new RegExp(`Usage: pouch .*${one.name()}`), one.name());
    assert.match(text, /Examples:\n {2}/, one.name());
    for (const option of one.options) assert.ok(option.hidden || option.description !== '', `${one.name()} ${option.flags}`);
  }
});

test('options after the image belong to the command; options after the name of a container do not', () => {
  const run = parse('run', '-it', '--rm', '-e', 'A=1', '-e', 'B', '-h', 'name', 'busybox', 'ls', '-l', '--rm=false', '-h');
  assert.deepEqual(run.args, ['busybox', ['ls', '-l', '--rm=false', '-h']]);
  assert.deepEqual({ i: run.flags['interactive'], t: run.flags['tty'], rm: run.flags['rm'], env: run.flags['env'], h: run.flags['hostname'] }, { i: true, t: true, rm: true, env: ['A=1', 'B'], h: 'name' });
  assert.deepEqual(parse('start', 'hypervisor', '-i'), { args: [['hypervisor']], flags: { interactive: true, sigProxy: true } });
  assert.deepEqual(parse('exec', '-u', 'me', 'web', 'ps', '-u').args, ['web', ['ps', '-u']]);
});

test('flags may be written --flag=true and --flag=false, and values may begin with dashes', () => {
  assert.equal(parse('run', '--sig-proxy=false', 'busybox').flags['sigProxy'], false);
  assert.equal(parse('run', '--sig-proxy=true', 'busybox').flags['sigProxy'], true);
  assert.equal(parse('run', '--rm=false', '--init=true', 'busybox').flags['rm'], undefined);
  assert.equal(parse('run', '--init=1', 'busybox').flags['init'], true);
  assert.equal(parse('run', '--memory-swap', '-1', 'busybox').flags['memorySwap'], '-1');
  assert.deepEqual(parse('run', '--entrypoint', '--rm=true', 'busybox').flags['entrypoint'], '--rm=true');
  assert.equal(parse('ps', '--no-trunc=false').flags['trunc'], true);
  assert.equal(parse('ps', '--no-trunc').flags['trunc'], false);
  assert.equal(parse('attach', '--no-stdin', 'web').flags['stdin'], false);
  assert.deepEqual(parse('run', '-p8080:80', '-p', '81', '--name=web', 'busybox').flags['publish'], ['8080:80', '81']);
});

test('completions name every command and flag, and bash understands its script', () => {
  const program = createProgram(config);
  const tree = entries(program.command);
  assert.deepEqual(tree.filter(({ path }) => path.join(' ') === 'cluster').flatMap(({ children }) => children.map(({ name }) => name)), ['hosts', 'events', 'certs', 'join-token', 'token', 'policy', 'verify', 'backup', 'restore', 'rebuild']);
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const script = completionScript(program.command, shell);
    for (const { children, options } of tree) {
      for (const { name } of children) assert.ok(script.includes(name), `${shell} ${name}`);
      for (const { flags } of options) for (const flag of flags) assert.ok(script.includes(shell === 'fish' ? flag.replace(/^--?/, '') : flag), `${shell} ${flag}`);
    }
    assert.ok(!script.includes('--no-sig-proxy'));
  }
  const ask = (...words: string[]) => {
    const script = `${completionScript(program.command, 'bash')}\npouch() { echo "asked:$*"; }\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _pouch; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
  };
  assert.deepEqual(ask('pouch', 'p'), ['ps', 'pause', 'pull']);
  assert.deepEqual(ask('pouch', 'cluster', 'v'), ['verify']);
  assert.deepEqual(ask('pouch', 'run', '--rea'), ['--read-only']);
  assert.deepEqual(ask('pouch', 'run', '--pull', 'n'), ['never']);
  assert.deepEqual(ask('pouch', '-H', 'unix:///x', 'images', '--di'), ['--digests']);
  assert.deepEqual(ask('pouch', 'completion', 'f'), ['fish']);
});

