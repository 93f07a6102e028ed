/**
 * How a command is defined. Each file in `commands` holds one command: its options, each stated once with its type, its
 * help and its action. The action imports the code that reads or writes layers when it runs, so that `--version` and
 * `--help` load none of it.
 */
import { type Command, CommanderError, Option } from 'commander';
import { assert } from '../assert.ts';
import type { Context } from './context.ts';
import type { ExitStatus } from './exit-status.ts';

/** Runs the action of a command and keeps its exit status. */
export type Runner = (action: (context: Context) => Promise<ExitStatus>) => Promise<void>;

export interface CommandParents {
  readonly program: Command;
  readonly runner: Runner;
}

declare const VALUE: unique symbol;

/** An option, with the type of its value. */
export type TypedOption<T> = Option & { readonly [VALUE]: T };

/** Options under the names of their values, which are those that commander derives from the flags. */
export type OptionTable = Readonly<Record<string, TypedOption<unknown>>>;

/** The values of the options of a table; a property is optional if the option is. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table as Presence<Table, Name, never, Name>]: Table[Name][typeof VALUE];
} & {
  readonly [Name in keyof Table as Presence<Table, Name, Name, never>]?: Table[Name][typeof VALUE];
};

type Presence<
  Table extends OptionTable,
  Name extends keyof Table,
  Optional,
  Always,
> = undefined extends Table[Name][typeof VALUE] ? Optional : Always;

/** An option without a value: true if it is given. */
export function flag(flags: string, description: string): TypedOption<true | undefined> {
  return typed(new Option(flags, description));
}

/** An option `--no-NAME`: false if it is given. */
export function negation(flags: string, description: string): TypedOption<boolean> {
  return typed(new Option(flags, description));
}

/** An option with a value. `parse` throws InvalidArgumentError. */
export function option<T>(
  flags: string,
  description: string,
  parse: (text: string, previous: T | undefined) => T,
): TypedOption<T | undefined> {
  return typed(new Option(flags, description).argParser(parse));
}

/** An option with a value and a default. */
export function optionWithDefault<T>(
  flags: string,
  description: string,
  about: { readonly parse: (text: string) => T; readonly value: T },
): TypedOption<T> {
  return typed(new Option(flags, description).argParser(about.parse).default(about.value));
}

/** An option that takes one of several words; the first one is the default. */
export function choice<T extends string>(
  flags: string,
  description: string,
  choices: readonly [T, ...T[]],
): TypedOption<T> {
  return typed(new Option(flags, description).choices(choices).default(choices[0]));
}

/**
 * An option without which a command cannot run. Commander's own kind reports only the first one
 * that is missing; these are all reported, together with a missing argument.
 */
export function requiredOption<T>(
  flags: string,
  description: string,
  parse: (text: string) => T,
): TypedOption<T> {
  const made = new Option(flags, `${description} (required)`).argParser(parse);
  REQUIRED.add(made);
  return typed(made);
}

const REQUIRED = new WeakSet<Option>();

function typed<T>(made: Option): TypedOption<T> {
  return made as TypedOption<T>;
}

/** Adds a command with its options; it inherits how help and errors are shown. */
export function addCommand(parent: Command, name: string, options: OptionTable = {}): Command {
  const command = parent.command(name).helpOption('-h, --help', 'show this help');
  for (const [valueName, made] of Object.entries(options)) {
    assert(made.attributeName() === valueName, 'an option stands under the name of its value');
    command.addOption(made);
  }
  return command.hook('preAction', () => checkRequiredOptions(command));
}

/** A command that only groups subcommands. */
export function addCommandGroup(parent: Command, name: string): Command {
  return addCommand(parent, name).helpCommand('help [command]', 'Show the help of a command.');
}

export function addExamples(
  command: Command,
  examples: readonly (readonly [line: string, what: string])[],
): void {
  const lines = examples.map(([line, what]) => `  ${line}\n      ${what}`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

function checkRequiredOptions(command: Command): void {
  const missing = missingOptions(command);
  if (missing === undefined) return;
  throw new CommanderError(1, 'commander.missingMandatoryOptionValue', `error: ${missing}`);
}

/** Describes the required options that are missing; undefined if none is. */
export function missingOptions(command: Command): string | undefined {
  const missing = command.options.filter(
    (made) => REQUIRED.has(made) && command.getOptionValue(made.attributeName()) === undefined,
  );
  if (missing.length === 0) return undefined;
  const noun = missing.length === 1 ? 'required option' : 'required options';
  return `${noun} not specified: ${missing.map(({ flags }) => `'${flags}'`).join(', ')}`;
}
