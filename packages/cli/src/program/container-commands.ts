// Declares the commands about containers: names, flags, help. What they do stands in ../commands and is loaded when one is run.
import { Option } from 'commander';
import type { PouchCommand } from './pouch-command.ts';
import { examples, type Runner } from './runner.ts';
import { addSettingFlags, list, withoutAliases } from './setting-flags.ts';

const detachKeys = () => new Option('--detach-keys <keys>', 'keys that leave the terminal, e.g. ctrl-p,ctrl-q');
const sigProxy = () => [new Option('--sig-proxy', 'pass signals on to the container (default; --sig-proxy=false does not)').default(true, 'true'), new Option('--no-sig-proxy').hideHelp()];
const format = () => new Option('--format <format>', 'table, json (an object a line) or a template such as "{{.Name}} {{.Status}}"');

export function addContainerCommands(program: PouchCommand, { context, does }: Runner): void {
  const group = (name: string, description: string) => (program.command(name) as PouchCommand).description(description).helpGroup('Containers:') as PouchCommand;

  addSettingFlags(group('run', 'Make a container from an image, start it and show it'))
    .argument('<image>', 'image, pulled first where it is missing')
    .argument('[command...]', 'command with its own options, in place of the image’s')
    .addOption(new Option('-d, --detach', 'leave it in the background and print its id'))
    .addOption(detachKeys())
    .passThroughOptions()
    .action(does(async (image: string, command: string[], flags: object) => (await import('../commands/run.ts')).run(context, image, command, withoutAliases(flags))))
    .addHelpText('after', examples('pouch run busybox uname -a', 'pouch run --rm -it busybox', 'pouch run -d --name web -p 8080:80 -m 256m --restart unless-stopped nginx', 'pouch run --runtime runv -it busybox     # in a virtual machine of its own', "tar c . | pouch run --rm -i busybox tar t"));
  for (const option of sigProxy()) program.commands.at(-1)?.addOption(option);

  addSettingFlags(group('create', 'Make a container without starting it'))
    .argument('<image>', 'image, pulled first where it is missing')
    .argument('[command...]', 'command with its own options')
    .passThroughOptions()
    .action(does(async (image: string, command: string[], flags: object) => (await import('../commands/create.ts')).create(context, image, command, withoutAliases(flags))))
    .addHelpText('after', `${examples('pouch create --name hypervisor docker.io/library/busybox:latest', 'pouch start hypervisor -i', 'pouch create --name job -e MODE=fast busybox sh -c "echo $MODE"')}
An image that is a shell and nothing else gets stdin and a terminal where neither a command
nor -i or -t is given, so that \`pouch start -i\` gives a shell.\n`);

  const start = group('start', 'Start containers')
    .argument('<container...>')
    .addOption(new Option('-i, --interactive', 'attach the terminal and stdin'))
    .addOption(new Option('-a, --attach', 'attach stdout and stderr, pass signals on, end with its exit code'))
    .addOption(detachKeys())
    .action(does(async (names: string[], flags: object) => (await import('../commands/start.ts')).start(context, names, flags)))
    .addHelpText('after', examples('pouch start hypervisor', 'pouch start hypervisor -i', 'pouch start -a job'));
  for (const option of sigProxy()) start.addOption(option);

  group('ps', 'List containers, whatever their status')
    .alias('ls')
    .addOption(list('-f, --filter <key=value>', 'status, name, id, label, ancestor, exited, network, …'))
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(new Option('--no-trunc', 'whole ids'))
    .addOption(new Option('-n, --last <n>', 'the n made last'))
    .addOption(new Option('-l, --latest', 'the one made last'))
    .addOption(new Option('-s, --size', 'sizes too'))
    .addOption(new Option('-a, --all', 'all of them, which is the default').hideHelp())
    .addOption(new Option('--at <time>', 'as it was: a time, unix seconds, or how long ago (10m, 2d)'))
    .addOption(format())
    .action(does(async (flags: object) => (await import('../commands/ps.ts')).ps(context, flags)))
    .addHelpText('after', examples('pouch ps', 'pouch ps -f status=running', 'pouch ps --at 2h', 'pouch ps --at 2026-01-31T12:00:00Z', 'pouch rm $(pouch ps -q -f status=exited)', "pouch ps --format '{{.Name}}: {{.Ports}}'"));

  for (const [name, what] of [['stop', 'Stop containers: the stop signal, then after a while SIGKILL'], ['restart', 'Stop containers and start them again']] as const) {
    group(name, what)
      .argument('<container...>')
      .addOption(new Option('-t, --time <seconds>', 'how long to wait before it is killed; -1 waits for ever'))
      .addOption(new Option('--timeout <seconds>').hideHelp())
      .addOption(new Option('-s, --signal <signal>', 'signal to send'))
      .action(does(async (names: string[], flags: { time?: string; timeout?: string; signal?: string }) => (await import('../commands/lifecycle.ts'))[name](context, names, flags.timeout === undefined ? flags : { ...flags, time: flags.timeout })))
      .addHelpText('after', examples(`pouch ${name} web`, `pouch ${name} -t 30 web db`));
  }

  group('kill', 'Send a signal to containers, SIGKILL unless told otherwise')
    .argument('<container...>')
    .addOption(new Option('-s, --signal <signal>', 'signal, e.g. HUP'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/lifecycle.ts')).kill(context, names, flags)))
    .addHelpText('after', examples('pouch kill web', 'pouch kill -s HUP web'));

  group('rm', 'Remove containers')
    .argument('<container...>')
    .addOption(new Option('-f, --force', 'also running ones'))
    .addOption(new Option('-v, --volumes', 'their anonymous volumes too'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/lifecycle.ts')).rm(context, names, flags)))
    .addHelpText('after', examples('pouch rm job', 'pouch rm -f web'));

  for (const [name, what] of [['pause', 'Freeze the processes of containers'], ['unpause', 'Let them go on']] as const) {
    group(name, what)
      .argument('<container...>')
      .action(does(async (names: string[]) => (await import('../commands/lifecycle.ts'))[name](context, names)))
      .addHelpText('after', examples(`pouch ${name} web`));
  }

  group('rename', 'Give a container another name')
    .argument('<container>')
    .argument('<new-name>')
    .action(does(async (name: string, newName: string) => (await import('../commands/lifecycle.ts')).rename(context, name, newName)))
    .addHelpText('after', examples('pouch rename web old-web'));

  group('wait', 'Wait until containers have ended and print their exit codes')
    .argument('<container...>')
    .action(does(async (names: string[]) => (await import('../commands/lifecycle.ts')).wait(context, names)))
    .addHelpText('after', examples('pouch wait job'));

  group('top', 'List the processes of a container')
    .argument('<container>')
    .argument('[ps-options...]', 'options of ps')
    .passThroughOptions()
    .action(does(async (name: string, psArgs: string[]) => (await import('../commands/lifecycle.ts')).top(context, name, psArgs)))
    .addHelpText('after', examples('pouch top web', 'pouch top web -o pid,args'));

  group('stats', 'Show what containers use: processors, memory, network, disks')
    .argument('[container...]', 'the running ones unless named')
    .addOption(new Option('-a, --all', 'also those that do not run'))
    .addOption(new Option('--no-stream', 'once, not as it changes'))
    .addOption(new Option('--no-trunc', 'whole ids'))
    .addOption(new Option('--format <format>', 'table, json (an object a line) or a template such as "{{.Name}} {{.CPUPerc}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/stats.ts')).stats(context, names, flags)))
    .addHelpText('after', examples('pouch stats', 'pouch stats --no-stream web', "pouch stats --no-stream --format '{{.Name}} {{.MemUsage}}'"));

  group('logs', 'Print what a container has written')
    .argument('<container>')
    .addOption(new Option('-f, --follow', 'go on as it writes more'))
    .addOption(new Option('-n, --tail <lines>', 'the last lines only'))
    .addOption(new Option('--since <time>', 'since a time, or how long ago (10m)'))
    .addOption(new Option('--until <time>', 'until a time, or how long ago'))
    .addOption(new Option('-t, --timestamps', 'with times'))
    .addOption(new Option('--console', 'what the machine of a runv container wrote to its console, its kernel’s messages first'))
    .action(does(async (name: string, flags: object) => (await import('../commands/logs.ts')).logs(context, name, flags)))
    .addHelpText('after', examples('pouch logs -f web', 'pouch logs --tail 100 --since 10m -t web', 'pouch logs --console hypervisor'));

  group('exec', 'Run a further command in a running container')
    .argument('<container>')
    .argument('<command...>', 'command with its own options')
    .addOption(new Option('-i, --interactive', 'keep stdin open'))
    .addOption(new Option('-t, --tty', 'give it a terminal'))
    .addOption(new Option('-d, --detach', 'leave it in the background'))
    .addOption(list('-e, --env <NAME=value>', 'set a variable'))
    .addOption(list('--env-file <file>', 'read variables from a file'))
    .addOption(new Option('-w, --workdir <path>', 'working directory'))
    .addOption(new Option('-u, --user <user[:group]>', 'run as this user'))
    .addOption(new Option('--privileged', 'all capabilities'))
    .addOption(detachKeys())
    .passThroughOptions()
    .action(does(async (name: string, command: string[], flags: object) => (await import('../commands/exec.ts')).exec(context, name, command, flags)))
    .addHelpText('after', examples('pouch exec -it web sh', 'pouch exec -u nobody -w /tmp web ls -la'));

  group('cp', 'Copy files between this machine and a container')
    .argument('<source>', 'CONTAINER:PATH, a path of this machine, or - for a tar on stdin')
    .argument('<destination>', 'a path of this machine, - for a tar on stdout, or CONTAINER:PATH')
    .addOption(new Option('-a, --archive', 'what comes to a container is its user’s'))
    .addOption(new Option('-L, --follow-link', 'copy what a link leads to'))
    .addOption(new Option('-q, --quiet', 'say nothing'))
    .action(does(async (source: string, destination: string, flags: object) => (await import('../commands/cp.ts')).cp(context, source, destination, flags)))
    .addHelpText('after', `${examples('pouch cp web:/etc/nginx/nginx.conf .', 'pouch cp site web:/usr/share/nginx/html', 'pouch cp site/. web:/usr/share/nginx/html   # what is in it', 'pouch cp web:/var/log - | tar t', 'tar c . | pouch cp - web:/tmp')}
The container need not run. A path of this machine with a colon in it begins with / or ./\n`);

  const attach = group('attach', 'Attach this terminal to a running container')
    .argument('<container>')
    .addOption(new Option('--no-stdin', 'output only'))
    .addOption(detachKeys())
    .action(does(async (name: string, flags: object) => (await import('../commands/start.ts')).attach(context, name, flags)))
    .addHelpText('after', examples('pouch attach web', 'pouch attach --no-stdin web') + '\nctrl-p ctrl-q leaves a container’s terminal without ending it.\n');
  for (const option of sigProxy()) attach.addOption(option);

  group('inspect', 'Print everything about containers or images as JSON')
    .argument('<name...>', 'containers or images')
    .addOption(new Option('--type <type>', 'container or image').choices(['container', 'image']))
    .addOption(new Option('-f, --format <format>', 'json (one line) or a template such as "{{.State.Status}}"'))
    .addOption(new Option('-s, --size', 'sizes too'))
    .addOption(new Option('--at <time>', 'the container as it was: a time, unix seconds, or how long ago'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/inspect.ts')).inspect(context, names, flags)))
    .addHelpText('after', examples('pouch inspect web', "pouch inspect -f '{{.State.Status}} {{json .HostConfig.Memory}}' web", 'pouch inspect --at 10m web'));
}
