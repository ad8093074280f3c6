// Commander's command with two of docker's habits: flags may be written `--flag=true` and `--flag=false`, and every command has `--help` but not
// `-h`, which is `--hostname`. Declares no command of its own.
import { Command, CommanderError, type Option } from 'commander';

const truths: Readonly<Record<string, boolean>> = { true: true, '1': true, t: true, false: false, '0': false, f: false };

export class PouchCommand extends Command {
  /** Words after the first argument belong to the command in the container. */
  private passesThrough = false;

  override createCommand(name?: string): PouchCommand {
    return new PouchCommand(name).helpOption('--help', 'show help');
  }

  /** A command that is only a name for others shows what it has; that is no error. */
  override help(): never {
    this.outputHelp();
    throw new CommanderError(0, 'commander.help', '(outputHelp)');
  }

  override passThroughOptions(on = true): this {
    this.passesThrough = on;
    return super.passThroughOptions(on);
  }

  override parseOptions(argv: string[]): ReturnType<Command['parseOptions']> {
    return super.parseOptions(this.withBooleanValues(argv));
  }

  /** Rewrites `--flag=true` to `--flag` and `--flag=false` to `--no-flag` (or nothing), as far as this command's own flags go. */
  private withBooleanValues(argv: readonly string[]): string[] {
    const known = new Map<string, Option>();
    for (const option of this.options) if (typeof option.long === 'string') known.set(option.long, option);
    const shortWithValue = new Set(this.options.filter((option) => option.required && typeof option.short === 'string').map((option) => option.short));
    const result: string[] = [];
    for (let at = 0; at < argv.length; at++) {
      const word = argv[at] as string;
      if (word === '--' || ((this.passesThrough || this.commands.length > 0) && !word.startsWith('-'))) return [...result, ...argv.slice(at)];
      const [, name, value] = /^(--[a-z][\w-]*)=(.*)$/s.exec(word) ?? [];
      const option = name === undefined ? undefined : known.get(name);
      const truth = value === undefined ? undefined : truths[value.toLowerCase()];
      if (option !== undefined && !option.required && !option.optional && truth !== undefined) {
        const positive = (name as string).replace(/^--no-/, '--');
        const meant = truth !== option.negate ? positive : positive.replace(/^--/, '--no-');
        // What is not declared is the default, and need not be said.
        if (known.has(meant)) result.push(meant);
        continue;
      }
      result.push(word);
      // A flag's value is not looked at: it may begin with dashes itself.
      const takesNext = known.get(word)?.required === true || (/^-[^-]/.test(word) && takesNextWord(word, shortWithValue, this.options));
      if (takesNext && at + 1 < argv.length) result.push(argv[++at] as string);
    }
    return result;
  }
}

/** Whether a group of short flags such as `-itp` ends in one whose value is the next word. */
function takesNextWord(word: string, withValue: ReadonlySet<string | undefined>, options: readonly Option[]): boolean {
  for (let at = 1; at < word.length; at++) {
    const flag = `-${word[at] as string}`;
    if (withValue.has(flag)) return at === word.length - 1;
    if (!options.some((option) => option.short === flag)) return false;
  }
  return false;
}
