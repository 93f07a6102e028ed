/** What the definitions of commands share. */
import { type Command, CommanderError } from 'commander';
import type { Context } from './context.ts';
import type { ExitStatus } from './exit-status.ts';

/** Runs one command; its module is loaded only then, so that `--version` is quick. */
export type Runner = (run: (context: Context) => Promise<ExitStatus>) => Promise<void>;

export interface CommandParents {
  readonly program: Command;
  readonly runner: Runner;
}

/** Adds a command that inherits how help and errors are shown. */
export function addCommand(parent: Command, nameAndArguments: string): Command {
  return parent.command(nameAndArguments).helpOption('-h, --help', 'show this help');
}

export function addExamples(
  command: Command,
  examples: readonly (readonly [line: string, what: string])[],
): void {
  const lines = examples.map(([line, what]) => `  ${line}\n      ${what}`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/**
 * Options without which a command cannot run. Commander's own name the first that is missing; here
 * all are named, beside a missing argument as well.
 */
export function addRequiredOption<T>(
  command: Command,
  flags: string,
  about: { readonly description: string; readonly parse: (text: string) => T },
): Command {
  required.set(command, [...(required.get(command) ?? []), flags]);
  return command.option(flags, `${about.description} (required)`, about.parse);
}

/** Throws wrong usage unless all required options are there. To be called before the command runs. */
export function checkRequiredOptions(command: Command): void {
  const missing = missingOptions(command);
  if (missing === undefined) return;
  throw new CommanderError(1, 'commander.missingMandatoryOptionValue', `error: ${missing}`);
}

/** Which required options are missing, in words; undefined if none is. */
export function missingOptions(command: Command): string | undefined {
  const missing = (required.get(command) ?? []).filter((flags) => {
    const option = command.options.find((candidate) => candidate.flags === flags);
    return option !== undefined && command.getOptionValue(option.attributeName()) === undefined;
  });
  if (missing.length === 0) return undefined;
  const [one, many] = ['required option', 'required options'];
  const names = missing.map((flags) => `'${flags}'`).join(', ');
  return `${missing.length === 1 ? one : many} not specified: ${names}`;
}

/** Flags of the required options of each command. */
const required = new WeakMap<Command, readonly string[]>();
