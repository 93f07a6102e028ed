/** What the definitions of commands share. */
import type { Command } from 'commander';
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
