/**
 * The commands with their options and arguments, as in the help: the source of completions and man pages.
 */
import type { Command, Option } from 'commander';

export interface DescribedOption {
  /** `--json`, `-j`. */
  readonly names: readonly string[];
  /** As in the help: `-j, --jobs <n>`. */
  readonly flags: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

export interface DescribedCommand {
  /** Without the name of the program: `import`, `pgdata`. */
  readonly path: readonly string[];
  readonly description: string;
  /** `<source> [options]`. */
  readonly usage: string;
  readonly options: readonly DescribedOption[];
  readonly commands: readonly DescribedCommand[];
}

/** Describes a command and those below it. */
export function describeCommand(command: Command, path: readonly string[] = []): DescribedCommand {
  return {
    path,
    description: command.description(),
    usage: command.usage(),
    options: command.createHelp().visibleOptions(command).map(describeOption),
    commands: command
      .createHelp()
      .visibleCommands(command)
      // Commander adds a help command to each command that has subcommands.
      .filter((inner) => command.parent === null || inner.name() !== 'help')
      .map((inner) => describeCommand(inner, [...path, inner.name()])),
  };
}

/** The command and all below it, depth first. */
export function* allCommands(command: DescribedCommand): Generator<DescribedCommand> {
  yield command;
  for (const inner of command.commands) yield* allCommands(inner);
}

function describeOption(option: Option): DescribedOption {
  const names = [option.long, option.short].filter((name) => name !== undefined && name !== null);
  return {
    names: names.map(String),
    flags: option.flags,
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}
