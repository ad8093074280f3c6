// Declares the commands about services: names, flags, help. What they do stands in ../commands/service.ts.
import { Option } from 'commander';
import type { PouchCommand } from './pouch-command.ts';
import { examples, type Runner } from './runner.ts';
import { addSettingFlags, healthOptions, list, withoutAliases } from './setting-flags.ts';

const format = (what = 'table, json (an object a line) or a template such as "{{.Name}} {{.Replicas}}"') => new Option('--format <format>', what);
const detach = () => new Option('-d, --detach', 'do not wait until the replicas are as wanted');

function rolloutFlags(which: 'update' | 'rollback'): Option[] {
  const heading = which === 'update' ? 'Updates:' : 'Rollbacks:';
  return [
    new Option(`--${which}-parallelism <number>`, 'replicas exchanged at a time; 0: all'),
    new Option(`--${which}-delay <time>`, 'between one and the next, e.g. 10s'),
    new Option(`--${which}-order <order>`, 'stop the old one first, or start the new one beside it').choices(['stop-first', 'start-first']),
    new Option(`--${which}-monitor <time>`, 'a new one that has run so long is proven; 5s'),
    new Option(`--${which}-failure-action <action>`, 'when more than the ratio ended before they were proven').choices(which === 'update' ? ['pause', 'continue', 'rollback'] : ['pause', 'continue']),
    new Option(`--${which}-max-failure-ratio <ratio>`, 'failures that are borne, 0 to 1'),
  ].map((option) => option.helpGroup(heading));
}

function serviceFlags(): Option[] {
  return [
    ...[
      new Option('--replicas <number>', 'how many are kept running'),
      list('--service-label <key=value>', 'label of the service'),
      new Option('--restart-condition <condition>', 'when one that ended is replaced').choices(['any', 'on-failure', 'none']),
      new Option('--restart-delay <time>', 'after which time; 5s, doubled while they end soon'),
      new Option('--restart-max-attempts <number>', 'in a row; 0: without a limit'),
    ].map((option) => option.helpGroup('Replicas:')),
    ...rolloutFlags('update'), ...rolloutFlags('rollback'),
  ];
}

export function addServiceCommands(program: PouchCommand, { context, does }: Runner): void {
  const service = (program.command('service') as PouchCommand).description('Services: containers with replicas').helpGroup('Containers:') as PouchCommand;
  const group = (name: string, description: string) => (service.command(name) as PouchCommand).description(description) as PouchCommand;

  const create = addSettingFlags(group('create', 'Keep replicas of a container running'))
    .argument('<image>', 'image, pulled first where it is missing')
    .argument('[command...]', 'command with its own options');
  for (const option of [...serviceFlags(), detach()]) create.addOption(option);
  create
    .passThroughOptions()
    .action(does(async (image: string, command: string[], flags: object) => (await import('../commands/service.ts')).create(context, image, command, withoutAliases(flags))))
    .addHelpText('after', `${examples('pouch service create --name web --replicas 5 nginx', 'pouch service create --name web --replicas 3 -l io.pouch.spread=zone nginx', 'pouch service create --name mixed --replicas 4 --runtime runc,runv busybox sleep 1d')}
With several runtimes, with commas, the replicas have them in turn.\n`);

  group('ls', 'List services')
    .alias('list')
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(format())
    .action(does(async (flags: object) => (await import('../commands/service.ts')).ls(context, flags)))
    .addHelpText('after', examples('pouch service ls'));

  group('ps', 'List the replicas of services, those that ended lately too')
    .argument('<service...>')
    .addOption(new Option('-q, --quiet', 'ids of containers only'))
    .addOption(format('table, json (an object a line) or a template such as "{{.Name}} {{.Host}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/service.ts')).ps(context, names, flags)))
    .addHelpText('after', examples('pouch service ps web'));

  group('logs', 'Print what the replicas of a service have written, each line with its replica')
    .argument('<service|task>')
    .addOption(new Option('-f, --follow', 'go on as they write more, also of replicas that are still to come'))
    .addOption(new Option('-n, --tail <lines>', 'the last lines of each replica only'))
    .addOption(new Option('--since <time>', 'since a time, or how long ago (10m)'))
    .addOption(new Option('--until <time>', 'until a time, or how long ago'))
    .addOption(new Option('-t, --timestamps', 'with times'))
    .action(does(async (name: string, flags: object) => (await import('../commands/service-logs.ts')).serviceLogs(context, name, flags)))
    .addHelpText('after', examples('pouch service logs -f web', 'pouch service logs --tail 10 -t web', 'pouch service logs web.2.0123456789ab'));

  group('inspect', 'Print everything about services as JSON')
    .argument('<service...>')
    .addOption(new Option('-f, --format <format>', 'json (an object a line) or a template such as "{{.replicas}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/service.ts')).inspect(context, names, flags)))
    .addHelpText('after', examples('pouch service inspect web'));

  group('scale', 'Change how many replicas services have')
    .argument('<service=number...>')
    .addOption(detach())
    .action(does(async (wanted: string[], flags: object) => (await import('../commands/service.ts')).scale(context, wanted, flags)))
    .addHelpText('after', examples('pouch service scale web=5 db=1'));

  const update = group('update', 'Change a service; replicas are exchanged one after the other where they differ')
    .argument('<service>')
    .addOption(new Option('--image <image>', 'another image'))
    .addOption(new Option('--args <words>', 'another command; quotes keep spaces'))
    .addOption(list('--env-add <NAME=value>', 'set a variable'))
    .addOption(list('--env-rm <NAME>', 'take a variable away'))
    .addOption(new Option('--limit-memory <bytes>', 'memory, e.g. 512m'))
    .addOption(new Option('--limit-cpu <number>', 'CPUs, e.g. 1.5'))
    .addOption(new Option('--runtime <name>', 'OCI runtime; several with commas are had in turn'))
    .addOption(new Option('--force', 'exchange the replicas though nothing differs'))
    .addOption(new Option('--rollback', 'back to what the last update replaced'));
  for (const option of [...serviceFlags(), ...healthOptions(), detach()]) update.addOption(option);
  update
    .action(does(async (name: string, flags: object) => (await import('../commands/service.ts')).update(context, name, flags)))
    .addHelpText('after', examples('pouch service update --image nginx:1.29 web', 'pouch service update --env-add MODE=fast --update-order start-first --update-failure-action rollback web', 'pouch service update --replicas 7 web'));

  group('rollback', 'Take the last update of a service back')
    .argument('<service>')
    .addOption(detach())
    .action(does(async (name: string, flags: object) => (await import('../commands/service.ts')).rollback(context, name, flags)))
    .addHelpText('after', examples('pouch service rollback web'));

  group('rm', 'Remove services with their replicas')
    .argument('<service...>')
    .action(does(async (names: string[]) => (await import('../commands/service.ts')).rm(context, names)))
    .addHelpText('after', examples('pouch service rm web'));
}
