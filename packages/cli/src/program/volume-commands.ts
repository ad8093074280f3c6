// Declares `pouch volume …`. What they do is in commands/volume.ts.
import { Option } from 'commander';
import type { PouchCommand } from './pouch-command.ts';
import { examples, type Runner } from './runner.ts';
import { list } from './setting-flags.ts';

export function addVolumeCommands(program: PouchCommand, { context, does }: Runner): void {
  const volume = (program.command('volume') as PouchCommand).description('Volumes, which outlive containers').helpGroup('System:') as PouchCommand;
  const group = (name: string, description: string) => (volume.command(name) as PouchCommand).description(description) as PouchCommand;
  const filter = () => list('-f, --filter <key=value>', 'only those');

  group('create', 'Make a volume; it gets its host with the first container that has it')
    .argument('[name]', 'one is made up without')
    .addOption(list('-l, --label <key=value>', 'label'))
    .action(does(async (name: string | undefined, flags: object) => (await import('../commands/volume.ts')).create(context, name, flags)))
    .addHelpText('after', examples('pouch volume create data', 'pouch run -v data:/data busybox touch /data/file'));
  group('ls', 'List volumes')
    .addOption(filter())
    .addOption(new Option('-q, --quiet', 'names only'))
    .addOption(new Option('--format <format>', 'table, json (an object a line) or a template such as "{{.Name}}"'))
    .action(does(async (flags: object) => (await import('../commands/volume.ts')).ls(context, flags)))
    .addHelpText('after', examples('pouch volume ls', 'pouch volume ls -f dangling=true'));
  group('inspect', 'Print everything about volumes as JSON')
    .argument('<name...>')
    .addOption(new Option('-f, --format <format>', 'json (an object a line) or a template such as "{{.Mountpoint}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/volume.ts')).inspect(context, names, flags)))
    .addHelpText('after', examples('pouch volume inspect data', "pouch volume inspect -f '{{.Node.Name}} {{.Mountpoint}}' data"));
  group('rm', 'Remove volumes that no container has, with what they hold')
    .argument('<name...>')
    .addOption(new Option('-f, --force', 'those that are not there are no error'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/volume.ts')).rm(context, names, flags)))
    .addHelpText('after', examples('pouch volume rm data'));
  group('prune', 'Remove volumes that nobody gave a name and no container has')
    .addOption(new Option('-a, --all', 'those with a name, too'))
    .addOption(new Option('-f, --force', 'without asking'))
    .addOption(list('--filter <key=value>', 'only those, e.g. label=a'))
    .action(does(async (flags: object) => (await import('../commands/volume.ts')).prune(context, flags)))
    .addHelpText('after', examples('pouch volume prune', 'pouch volume prune --all --filter label=scratch'));
}
