// Declares the flags that describe a container, for create and run: docker's names, letters and meanings.
import { Option } from 'commander';
import type { PouchCommand } from './pouch-command.ts';

export const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

/** A flag that may be given several times. */
export const list = (flags: string, description: string): Option => new Option(flags, `${description} (may be repeated)`).argParser(collect);

/** Docker's flags of a health check. */
export function healthOptions(): Option[] {
  return [
    new Option('--health-cmd <command>', 'ask this of the container’s shell to see whether it is well'),
    new Option('--health-interval <duration>', 'from one such question to the next, e.g. 10s; 30s'),
    new Option('--health-timeout <duration>', 'how long an answer may take; 30s'),
    new Option('--health-retries <number>', 'failures in a row that make it unhealthy; 3'),
    new Option('--health-start-period <duration>', 'after the start, when failures do not count yet'),
    new Option('--no-healthcheck', 'ask nothing, whatever the image says'),
  ];
}

const groups: Readonly<Record<string, readonly Option[]>> = {
  'Command and surroundings:': [
    new Option('--entrypoint <command>', "in place of the image's entrypoint"),
    list('-e, --env <NAME=value>', 'set a variable; NAME alone passes the one of this shell on'),
    list('--env-file <file>', 'read variables from a file'),
    new Option('-w, --workdir <path>', 'working directory'),
    new Option('-u, --user <user[:group]>', 'run as this user'),
    list('--group-add <group>', 'further group'),
    new Option('-h, --hostname <name>', 'host name of the container'),
    new Option('--domainname <name>', 'NIS domain name'),
    new Option('--init', 'run a small init that passes signals on and reaps processes'),
    new Option('--stop-signal <signal>', 'signal that stop sends'),
    new Option('--stop-timeout <seconds>', 'how long stop waits before it kills; -1 waits for ever'),
  ],
  'What it is:': [
    new Option('--name <name>', 'name of the container'),
    list('-l, --label <key=value>', 'label'),
    list('--label-file <file>', 'read labels from a file'),
    list('--annotation <key=value>', 'annotation, passed on to the OCI runtime'),
    new Option('--runtime <name>', 'OCI runtime: runc shares the host’s kernel, runv gets a machine of its own'),
    new Option('--kernel <name>', 'guest kernel, as `pouch kernel ls` lists them; the runtime is then runv'),
    new Option('--restart <policy>', 'no, always, unless-stopped or on-failure[:max-retries]'),
    new Option('--rm', 'remove it when it has ended'),
    new Option('--cidfile <file>', 'write the id into a new file'),
  ],
  'Network:': [
    new Option('--network <mode>', 'bridge, none, host or container:<name>'),
    list('-p, --publish <[ip:][host:]port[/proto]>', "publish a port on the host's addresses"),
    new Option('-P, --publish-all', 'publish every exposed port on one that the host chooses'),
    list('--expose <port[/proto]>', 'expose a port or a range of them'),
    list('--add-host <name:ip>', 'line for /etc/hosts'),
    list('--dns <ip>', 'DNS server'),
    list('--dns-option <option>', 'option for resolv.conf'),
    list('--dns-search <domain>', 'search domain'),
  ],
  'Files:': [
    list('-v, --volume <source:target[:options]>', 'mount a volume by its name, or a path of the host; a target alone: a volume of its own'),
    list('--volumes-from <container[:ro]>', 'mount all that another container has mounted; it runs on that one’s host'),
    list('--mount <type=…,target=…>', 'mount: type=volume|bind|tmpfs, source, target, readonly, …'),
    list('--tmpfs <path[:options]>', 'mount a tmpfs'),
    new Option('--read-only', 'root file system read-only'),
    list('--device <path[:path[:rwm]]>', 'give a device of the host'),
    new Option('--shm-size <bytes>', 'size of /dev/shm, e.g. 64m'),
  ],
  'Limits:': [
    new Option('-m, --memory <bytes>', 'memory, e.g. 512m or 2g'),
    new Option('--memory-reservation <bytes>', 'memory that is set aside for it on its host, e.g. 128m'),
    new Option('--memory-swap <bytes>', 'memory and swap together; -1 is unlimited swap'),
    new Option('--cpus <number>', 'CPUs, e.g. 1.5'),
    new Option('-c, --cpu-shares <weight>', 'relative weight'),
    new Option('--cpuset-cpus <list>', 'CPUs to run on, e.g. 0-3 or 0,1'),
    new Option('--pids-limit <number>', 'most processes; -1 is unlimited'),
    list('--ulimit <name=soft[:hard]>', 'ulimit, e.g. nofile=1024:2048'),
    new Option('--oom-score-adj <number>', '-1000 to 1000'),
  ],
  'Security:': [
    list('--secret <name[,target=…]>', 'give it a secret as a file in /run/secrets; also uid=, gid=, mode='),
    list('--cap-add <capability>', 'add a capability'),
    list('--cap-drop <capability>', 'drop a capability, or ALL'),
    new Option('--privileged', 'all capabilities and devices, no seccomp'),
    list('--security-opt <option>', 'seccomp=unconfined, seccomp=<file>, no-new-privileges'),
    list('--sysctl <key=value>', 'kernel setting of its namespaces'),
  ],
  'Logs:': [
    new Option('--log-driver <name>', 'json-file, local or none'),
    list('--log-opt <key=value>', 'max-size, max-file'),
  ],
  'Health:': healthOptions(),
  'Image:': [
    new Option('--pull <when>', 'always, missing or never').choices(['always', 'missing', 'never']),
    new Option('--platform <os/arch>', 'platform of the image'),
    new Option('-q, --quiet', 'no progress while pulling'),
  ],
  'Streams:': [
    new Option('-i, --interactive', 'keep stdin open'),
    new Option('-t, --tty', 'give it a terminal'),
    list('-a, --attach <stream>', 'attach to stdin, stdout or stderr only'),
  ],
};

export function addSettingFlags(command: PouchCommand): PouchCommand {
  for (const [heading, options] of Object.entries(groups)) for (const option of options) command.addOption(option.helpGroup(heading));
  command.addOption(new Option('--net <mode>', 'the same as --network').hideHelp());
  command.addOption(new Option('--dns-opt <option>', 'the same as --dns-option').argParser(collect).hideHelp());
  return command;
}

/** Aliases that docker knows, into the names that the commands read. */
export function withoutAliases<T extends object>(flags: T): T {
  const { net, dnsOpt, ...rest } = flags as T & { net?: string; dnsOpt?: string[] };
  return { ...(rest as T), ...(net === undefined ? {} : { network: net }), ...(dnsOpt === undefined ? {} : { dnsOption: dnsOpt }) };
}
