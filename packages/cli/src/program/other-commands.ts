// Declares the commands about images, the system and the cluster: names, flags, help. What they do stands in ../commands.
import { Argument, Option } from 'commander';
import type { PouchCommand } from './pouch-command.ts';
import { examples, type Runner } from './runner.ts';
import { list } from './setting-flags.ts';

const format = (what: string) => new Option('--format <format>', what);
const listFormat = () => format('table, json (an object a line) or a template such as "{{.ID}}"');

export function addImageCommands(program: PouchCommand, { context, does }: Runner): void {
  const group = (name: string, description: string) => (program.command(name) as PouchCommand).description(description).helpGroup('Images:') as PouchCommand;

  group('images', 'List images')
    .argument('[name[:tag]]')
    .addOption(new Option('-a, --all', 'intermediate ones too'))
    .addOption(list('-f, --filter <key=value>', 'dangling, label, before, since, reference'))
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(new Option('--no-trunc', 'whole ids'))
    .addOption(new Option('--digests', 'digests too'))
    .addOption(listFormat())
    .action(does(async (reference: string | undefined, flags: object) => (await import('../commands/images.ts')).images(context, reference, flags)))
    .addHelpText('after', examples('pouch images', 'pouch images busybox', "pouch images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"));

  group('pull', 'Fetch images from a registry')
    .argument('<image...>')
    .addOption(new Option('-q, --quiet', 'no progress'))
    .addOption(new Option('--platform <os/arch>', 'platform, e.g. linux/arm64'))
    .action(does(async (references: string[], flags: object) => (await import('../commands/pull.ts')).pull(context, references, flags)))
    .addHelpText('after', examples('pouch pull busybox', 'pouch pull registry.example.org:5000/team/app:1.2'));

  group('load', 'Load images from an archive (docker or OCI layout)')
    .addOption(new Option('-i, --input <file>', 'archive, otherwise stdin'))
    .addOption(new Option('-q, --quiet', 'no progress'))
    .action(does(async (flags: object) => (await import('../commands/load.ts')).load(context, flags)))
    .addHelpText('after', examples('pouch load -i app.tar', 'docker save app | pouch load'));

  group('tag', 'Give an image a further name')
    .argument('<image>')
    .argument('<new-name[:tag]>')
    .action(does(async (source: string, target: string) => (await import('../commands/images.ts')).tag(context, source, target)))
    .addHelpText('after', examples('pouch tag busybox:latest registry.example.org/busybox:1'));

  group('rmi', 'Remove images')
    .argument('<image...>')
    .addOption(new Option('-f, --force', 'also where an id has several names'))
    .addOption(new Option('--no-prune', 'keep parents without a name'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/images.ts')).rmi(context, names, flags)))
    .addHelpText('after', examples('pouch rmi busybox:1'));

  group('history', 'Show how an image was made')
    .argument('<image>')
    .addOption(new Option('--no-trunc', 'whole ids and commands'))
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(listFormat())
    .action(does(async (name: string, flags: object) => (await import('../commands/images.ts')).history(context, name, flags)))
    .addHelpText('after', examples('pouch history busybox'));
}

export function addSystemCommands(program: PouchCommand, { context, does }: Runner): void {
  const group = (name: string, description: string) => (program.command(name) as PouchCommand).description(description).helpGroup('System:') as PouchCommand;

  group('events', 'Follow what happens, in Docker’s words')
    .addOption(new Option('--since <time>', 'begin with what happened since a time, or how long ago (10m)'))
    .addOption(new Option('--until <time>', 'end at a time'))
    .addOption(list('-f, --filter <key=value>', 'type, event, container, image, label'))
    .addOption(format('json (an object a line) or a template such as "{{.Type}} {{.Action}}"'))
    .action(does(async (flags: object) => (await import('../commands/events.ts')).events(context, flags)))
    .addHelpText('after', examples('pouch events', 'pouch events --since 1h --until 0s', 'pouch events -f type=container -f event=die --format json'));

  group('info', 'What the cluster has')
    .addOption(format('json or a template such as "{{.DefaultRuntime}}"'))
    .action(does(async (flags: object) => (await import('../commands/info.ts')).info(context, flags)))
    .addHelpText('after', examples('pouch info', "pouch info --format '{{json .Runtimes}}'"));

  group('version', 'Versions of this program and of what answers')
    .addOption(format('json or a template such as "{{.Server.Version}}"'))
    .action(does(async (flags: object) => (await import('../commands/info.ts')).version(context, flags)))
    .addHelpText('after', examples('pouch version', "pouch version --format '{{.Server.ApiVersion}}'"));

  group('completion', 'Print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(does(async (shell: 'bash' | 'zsh' | 'fish') => (await import('../commands/completion.ts')).completion(program, shell)))
    .addHelpText('after', examples('source <(pouch completion bash)', 'pouch completion zsh > "${fpath[1]}/_pouch"', 'pouch completion fish > ~/.config/fish/completions/pouch.fish'));

  program
    .command('__complete', { hidden: true })
    .argument('<kind>')
    .action(does(async (kind: string) => (await import('../commands/complete-names.ts')).completeNames(context, kind)));
}

export function addClusterCommands(program: PouchCommand, { context, does }: Runner): void {
  const cluster = (program.command('cluster') as PouchCommand).description('Hosts, and the log that everything is read from').helpGroup('System:') as PouchCommand;
  const group = (name: string, description: string) => (cluster.command(name) as PouchCommand).description(description) as PouchCommand;

  addHostCommands(group('hosts', 'List the hosts, what they have and what they run'), { context, does });

  group('events', 'Follow the log: every decision with its sequence, actor and cause')
    .addOption(list('--kind <kind>', 'container, placement, host, image, exec, kernel, token, policy, secret, service, refusal, join or member'))
    .addOption(list('--on-host <id>', 'of this host'))
    .addOption(list('--container <name>', 'of this container, by name or id'))
    .addOption(list('--type <type>', 'with events of this type, e.g. ContainerStarted'))
    .addOption(list('--actor <actor>', 'wanted by this actor, e.g. local (the unix socket), token:NAME or tls:NAME'))
    .addOption(new Option('--since <time>', 'begin at a time, or how long ago (10m)'))
    .addOption(new Option('--until <time>', 'end at a time'))
    .addOption(new Option('--after <sequence>', 'begin after this sequence').argParser(String))
    .addOption(new Option('--no-follow', 'end after what has happened already'))
    .addOption(format('json (an object a line) or a template such as "{{.seq}} {{.subject}}"'))
    .action(does(async (flags: object) => (await import('../commands/cluster-events.ts')).clusterEvents(context, flags)))
    .addHelpText('after', examples('pouch cluster events', 'pouch cluster events --after 0 --no-follow --format json', 'pouch cluster events --container web --type ContainerExited'));

  group('certs', 'Make a certificate authority, the api’s certificate and those of clients, for TLS with verified clients')
    .argument('<directory>', 'where they are kept')
    .addOption(list('--server <name>', 'name or address of the api, for its certificate'))
    .addOption(list('--client <name:role>', 'a client’s certificate; the role is read (default), operate or admin'))
    .addOption(new Option('--days <number>', 'how long they are good').default('365'))
    .addOption(new Option('--force', 'replace what is there; never the authority'))
    .action(does(async (directory: string, flags: object) => (await import('../commands/certs.ts')).certs(directory, flags)))
    .addHelpText('after', examples('pouch cluster certs ~/pouch-certs', 'pouch cluster certs ~/pouch-certs --server api.example.org --server 10.0.0.5', 'pouch cluster certs ~/pouch-certs --client ci:operate'));

  const joinToken = group('join-token', 'Make a token by which a host joins; it is shown this once')
    .addOption(new Option('--uses <number>', 'hosts that it may admit').default('1'))
    .addOption(new Option('--expires <time>', 'how long it is good: 10m, 1h, 7d').default('1h'))
    .addOption(new Option('--for <host>', 'admit this host only, also to give it new credentials'))
    .addOption(new Option('-q, --quiet', 'the token only'))
    .action(does(async (flags: object) => (await import('../commands/join.ts')).createJoinToken(context, flags)))
    .addHelpText('after', examples('pouch cluster join-token', 'pouch cluster join-token --uses 3 --expires 1d', 'pouch cluster join-token --for a -q')) as PouchCommand;
  (joinToken.command('ls') as PouchCommand).description('List join tokens')
    .addOption(listFormat())
    .action(does(async (flags: object) => (await import('../commands/join.ts')).listJoinTokens(context, flags)))
    .addHelpText('after', examples('pouch cluster join-token ls'));
  (joinToken.command('rm') as PouchCommand).description('Revoke join tokens')
    .argument('<name...>')
    .action(does(async (names: string[]) => (await import('../commands/join.ts')).revokeJoinTokens(context, names)))
    .addHelpText('after', examples('pouch cluster join-token rm 3f0c2a91bd'));

  const token = (cluster.command('token') as PouchCommand).description('Bearer tokens of the API') as PouchCommand;
  const tokenCommand = (name: string, description: string) => (token.command(name) as PouchCommand).description(description) as PouchCommand;
  tokenCommand('create', 'Make a token; it is shown this once')
    .argument('<name>')
    .addOption(new Option('--role <role>', 'read, operate or admin').default('read'))
    .addOption(new Option('--expires <time>', 'how long it is good: 12h, 30d, never').default('90d'))
    .addOption(new Option('-q, --quiet', 'the token only'))
    .action(does(async (name: string, flags: object) => (await import('../commands/access.ts')).createToken(context, name, flags)))
    .addHelpText('after', examples('pouch cluster token create ci --role operate --expires 30d'));
  tokenCommand('ls', 'List tokens')
    .addOption(listFormat())
    .action(does(async (flags: object) => (await import('../commands/access.ts')).listTokens(context, flags)))
    .addHelpText('after', examples('pouch cluster token ls'));
  tokenCommand('rm', 'Revoke tokens')
    .argument('<name...>')
    .action(does(async (names: string[]) => (await import('../commands/access.ts')).revokeTokens(context, names)))
    .addHelpText('after', examples('pouch cluster token rm ci'));

  group('policy', 'Show, or change, what containers may ask of their hosts and who may ask it')
    .argument('[rule=who...]', 'who is operate, admin or nobody; also bind-prefixes=/data,/srv and allowed-capabilities=NET_ADMIN')
    .addOption(format('json'))
    .action(does(async (settings: string[], flags: object) => (await import('../commands/access.ts')).policy(context, settings, flags)))
    .addHelpText('after', examples('pouch cluster policy', 'pouch cluster policy privileged=nobody host-network=admin', 'pouch cluster policy host-binds=admin bind-prefixes=/data'));

  group('verify', 'Fold every aggregate again and compare with snapshots and projection; ends with 1 where they differ')
    .addOption(format('json'))
    .action(does(async (flags: object) => (await import('../commands/cluster.ts')).verify(context, flags)))
    .addHelpText('after', examples('pouch cluster verify'));

  group('backup', 'Save the whole state of the cluster, while it runs: the log, names, sealed secrets, guest kernels')
    .argument('<file>', 'where to; - is standard output')
    .addOption(new Option('-q, --quiet', 'no progress'))
    .action(does(async (file: string, flags: object) => (await import('../commands/backup.ts')).backup(context, file, flags)))
    .addHelpText('after', examples('pouch cluster backup pouch.backup', 'pouch cluster backup - | ssh backup@store tee pouch.backup > /dev/null'));

  group('restore', 'Put a backup into NATS servers that have lost their log, on a machine that founds the cluster; no api and no scheduler may run')
    .argument('<file>')
    .addOption(new Option('--check', 'only say whether the file is whole'))
    .addOption(new Option('--authority <file>', 'the cluster’s authority').default('/var/lib/pouch/authority.json'))
    .addOption(new Option('--nats <address>', 'where NATS is').default('127.0.0.1'))
    .addOption(new Option('-q, --quiet', 'no progress'))
    .action(does(async (file: string, flags: object) => (await import('../commands/restore.ts')).restore(file, flags as never)))
    .addHelpText('after', examples('pouch cluster restore --check pouch.backup', 'pouch cluster restore pouch.backup'));

  group('rebuild', 'Build the projection anew from the log while the old one serves')
    .addOption(format('json (an object a line)'))
    .action(does(async (flags: object) => (await import('../commands/cluster.ts')).rebuild(context, flags)))
    .addHelpText('after', examples('pouch cluster rebuild'));
}

export function addAgentCommands(program: PouchCommand, { does }: Runner): void {
  const agent = (program.command('agent') as PouchCommand).description('This machine as a host of a cluster').helpGroup('System:') as PouchCommand;
  (agent.command('join') as PouchCommand).description('Make this machine a host of a cluster: it gets credentials of its own, and runs containers from then on')
    .argument('<address>', 'where NATS is, e.g. 10.0.0.1; several with commas')
    .argument('[options...]', 'after --: options of npm run join, e.g. --host-id b --address 10.0.0.7')
    .addOption(new Option('--token <token>', 'join token; - reads it from standard input'))
    .action(does(async (address: string, rest: string[], flags: object) => (await import('../commands/join.ts')).joinAgent(address, flags, rest)))
    .addHelpText('after', examples('pouch agent join 10.0.0.1 --token -', 'pouch agent join 10.0.0.1,10.0.0.2 --token - -- --host-id b'));
}

function addHostCommands(hosts: PouchCommand, { context, does }: Pick<Runner, 'context' | 'does'>): void {
  hosts
    .addOption(listFormat())
    .action(does(async (flags: object) => (await import('../commands/cluster.ts')).hosts(context, flags)))
    .addHelpText('after', examples('pouch cluster hosts', 'pouch cluster hosts --format json', 'pouch cluster hosts drain a'));
  const group = (name: string, description: string) => (hosts.command(name) as PouchCommand).description(description) as PouchCommand;

  group('label', 'Give a host labels, or take them away; its configuration stays as it is')
    .argument('<host>')
    .argument('<name=value|name-...>')
    .action(does(async (host: string, changes: string[]) => (await import('../commands/hosts.ts')).label(context, host, changes)))
    .addHelpText('after', examples('pouch cluster hosts label a rack=r1 disk=ssd', 'pouch cluster hosts label a disk-', 'pouch run -e constraint:rack==r1 busybox'));

  group('cordon', 'Let hosts take no new containers')
    .argument('<host...>')
    .action(does(async (names: string[]) => (await import('../commands/hosts.ts')).cordon(context, names, 'cordon')))
    .addHelpText('after', examples('pouch cluster hosts cordon a'));

  group('uncordon', 'Let hosts take containers again; ends a drain')
    .argument('<host...>')
    .action(does(async (names: string[]) => (await import('../commands/hosts.ts')).cordon(context, names, 'uncordon')))
    .addHelpText('after', examples('pouch cluster hosts uncordon a'));

  group('drain', 'Cordon a host and move away what can be moved: containers with the label io.pouch.reschedule=on-host-loss')
    .argument('<host>')
    .addOption(format('json (an object a line)'))
    .action(does(async (host: string, flags: object) => (await import('../commands/hosts.ts')).drain(context, host, flags)))
    .addHelpText('after', examples('pouch cluster hosts drain a'));

  group('unknown', 'List containers that the log does not know, as after a restored backup; they run on until somebody decides')
    .argument('[host]', 'default: every host that has some')
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(listFormat())
    .action(does(async (host: string | undefined, flags: object) => (await import('../commands/unknown.ts')).unknown(context, host, flags)))
    .addHelpText('after', examples('pouch cluster hosts unknown', 'pouch cluster hosts unknown a'));

  for (const [name, what, description] of [['adopt', 'adopt', 'Take containers that the log does not know into it, under the names that they had'], ['remove-unknown', 'remove', 'Remove containers that the log does not know, also those that run']] as const) {
    group(name, description)
      .argument('<host>')
      .argument('[id...]')
      .addOption(new Option('-a, --all', 'all that the host has'))
      .action(does(async (host: string, ids: string[], flags: object) => (await import('../commands/unknown.ts')).decide(context, host, ids, what, flags)))
      .addHelpText('after', examples(`pouch cluster hosts ${name} a 0123456789ab`, `pouch cluster hosts ${name} a --all`));
  }

  group('rm', 'Remove lost hosts for good')
    .argument('<host...>')
    .addOption(new Option('-f, --force', 'also with containers on them, which are given up'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/hosts.ts')).rm(context, names, flags)))
    .addHelpText('after', examples('pouch cluster hosts rm a', 'pouch cluster hosts rm --force a'));
}

export function addSecretCommands(program: PouchCommand, { context, does }: Runner): void {
  const secret = (program.command('secret') as PouchCommand).description('Secrets, which containers get as files').helpGroup('System:') as PouchCommand;
  const group = (name: string, description: string) => (secret.command(name) as PouchCommand).description(description) as PouchCommand;

  group('create', 'Keep a secret, sealed; it is not shown again')
    .argument('<name>')
    .argument('[file]', 'what it holds; stdin without, or with -')
    .addOption(list('-l, --label <key=value>', 'label'))
    .action(does(async (name: string, file: string | undefined, flags: object) => (await import('../commands/secret.ts')).create(context, name, file, flags)))
    .addHelpText('after', examples('pouch secret create db-password password.txt', 'pouch run --secret db-password busybox cat /run/secrets/db-password'));
  group('ls', 'List secrets')
    .addOption(new Option('-q, --quiet', 'ids only'))
    .addOption(listFormat())
    .action(does(async (flags: object) => (await import('../commands/secret.ts')).ls(context, flags)))
    .addHelpText('after', examples('pouch secret ls'));
  group('inspect', 'Tell of secrets all but what they hold')
    .argument('<name...>')
    .addOption(format('json or a template such as "{{.Spec.Name}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/secret.ts')).inspect(context, names, flags)))
    .addHelpText('after', examples('pouch secret inspect db-password'));
  group('rm', 'Remove secrets that no container has')
    .argument('<name...>')
    .action(does(async (names: string[]) => (await import('../commands/secret.ts')).rm(context, names)))
    .addHelpText('after', examples('pouch secret rm db-password'));
  group('reseal', 'Seal all secrets with the first key of the key file, so that the others can go')
    .action(does(async () => (await import('../commands/secret.ts')).reseal(context)))
    .addHelpText('after', examples('pouch secret reseal'));
}

export function addKernelCommands(program: PouchCommand, { context, does }: Runner): void {
  const kernel = (program.command('kernel') as PouchCommand).description('Guest kernels of containers that are virtual machines').helpGroup('Images:') as PouchCommand;
  const group = (name: string, description: string) => (kernel.command(name) as PouchCommand).description(description) as PouchCommand;

  group('add', 'Add a guest kernel to the catalogue, and boot it to see what works')
    .argument('<name>')
    .addOption(new Option('--image <file>', 'bzImage (vmlinuz) or uncompressed vmlinux'))
    .addOption(new Option('--modules <directory>', 'its modules, lib/modules/<release>'))
    .addOption(new Option('--no-probe', 'do not boot it now; hosts do so when they first need it'))
    .addOption(new Option('-q, --quiet', 'the name only'))
    .action(does(async (name: string, flags: object) => (await import('../commands/kernel.ts')).add(context, name, flags)))
    .addHelpText('after', examples('pouch kernel add old --image vmlinuz-2.6.32', 'pouch kernel add debian-6.1 --image boot/vmlinuz-6.1.0-38-cloud-amd64 --modules lib/modules/6.1.0-38-cloud-amd64', 'pouch run --kernel old -it busybox uname -r'));

  group('ls', 'List guest kernels: the catalogue’s, and those that hosts have of their own')
    .alias('list')
    .addOption(new Option('-q, --quiet', 'names only'))
    .addOption(listFormat())
    .action(does(async (flags: object) => (await import('../commands/kernel.ts')).ls(context, flags)))
    .addHelpText('after', examples('pouch kernel ls', "pouch kernel ls --format '{{.Name}} {{.Release}} {{.Profiles}}'"));

  group('inspect', 'Print everything about guest kernels as JSON')
    .argument('<name...>')
    .addOption(new Option('-f, --format <format>', 'json (an object a line) or a template such as "{{.release}}"'))
    .action(does(async (names: string[], flags: object) => (await import('../commands/kernel.ts')).inspect(context, names, flags)))
    .addHelpText('after', examples('pouch kernel inspect old'));

  group('probe', 'Boot a guest kernel on a host again, and tell what works')
    .argument('<name>')
    .addOption(new Option('--on-host <id>', 'on this host'))
    .action(does(async (name: string, flags: object) => (await import('../commands/kernel.ts')).probe(context, name, flags)))
    .addHelpText('after', examples('pouch kernel probe old --on-host b'));

  group('rm', 'Remove guest kernels that no container uses')
    .argument('<name...>')
    .action(does(async (names: string[]) => (await import('../commands/kernel.ts')).rm(context, names)))
    .addHelpText('after', examples('pouch kernel rm old'));
}
