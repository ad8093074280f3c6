// The whole tree of commands, and how mistakes in the command line are told. Runs nothing by itself.
import type { CommanderError } from 'commander';
import type { CliConfig } from '../config.ts';
import { clientVersion } from '../version.ts';
import { createContext, type GlobalFlags } from '../context.ts';
import { addContainerCommands } from './container-commands.ts';
import { addAgentCommands, addClusterCommands, addImageCommands, addKernelCommands, addSecretCommands, addSystemCommands } from './other-commands.ts';
import { PouchCommand } from './pouch-command.ts';
import { createRunner, examples, type Runner } from './runner.ts';
import { addServiceCommands } from './service-commands.ts';
import { addVolumeCommands } from './volume-commands.ts';

export interface Program {
  readonly command: PouchCommand;
  readonly runner: Runner;
}

export function createProgram(config: CliConfig): Program {
  const command = new PouchCommand('pouch');
  const runner = createRunner(createContext(config, () => command.opts<GlobalFlags>()));
  command
    .description('Containers and virtual-machine containers across physical hosts.')
    .usage('[options] <command>')
    .helpOption('--help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .option('-H, --host <address>', `address of the API: unix://… or tcp://…`, config.host)
    .option('--tlscacert <file>', 'trust certificates that this CA has signed')
    .option('--tlscert <file>', 'certificate of this client')
    .option('--tlskey <file>', 'its key')
    .version(`pouch ${clientVersion}`, '-v, --version', 'print the version of this program')
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .addHelpText('after', `${examples('pouch run -it busybox', 'pouch ps', 'pouch logs -f web', 'pouch cluster events')}\nPOUCH_HOST in the environment stands in for --host. \`pouch <command> --help\` tells more.\n`);
  // Before the commands are made: they inherit the settings above.
  addContainerCommands(command, runner);
  addServiceCommands(command, runner);
  addImageCommands(command, runner);
  addKernelCommands(command, runner);
  addSystemCommands(command, runner);
  addSecretCommands(command, runner);
  addVolumeCommands(command, runner);
  addClusterCommands(command, runner);
  addAgentCommands(command, runner);
  return { command, runner };
}

/** Parses and runs. Throws what the command throws; mistakes in the command line as CommanderError. */
export async function runProgram({ command, runner }: Program, args: readonly string[]): Promise<number> {
  await command.parseAsync(args, { from: 'user' });
  return runner.exitCode();
}

/** What to say of commander's own errors, and the exit code; null for help and version, which are no errors. */
export function usageProblem(error: CommanderError): { line: string; exitCode: number } | null {
  if (error.exitCode === 0) return null;
  const message = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ').trim();
  // 1 for a command that is not there, 125 for flags that are not: docker's codes.
  return { line: `pouch: ${message}`, exitCode: ['commander.unknownCommand', 'commander.help', 'commander.excessArguments'].includes(error.code) ? 1 : 125 };
}
