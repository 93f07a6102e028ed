/** One run of the command line: arguments in, exit status out. */
import { isNativeError } from 'node:util/types';
import type { Command, CommanderError } from 'commander';
import { isStorageError, StorageError } from '../errors.ts';
import { printable } from '../printable.ts';
import { wantsColour } from './colour.ts';
import { missingOptions } from './command.ts';
import type { CliStreams, Context } from './context.ts';
import { CLEAN, type ExitStatus, INTERRUPTED, statusOfError, WRONG_USAGE } from './exit-status.ts';
import { isReaderGone, Output, type OutputStream } from './output.ts';
import { createProgram } from './program.ts';
import { Reporter } from './reporter.ts';

/** Never rejects. `commandLine` starts after the name of the program. */
export async function run(
  commandLine: readonly string[],
  streams: CliStreams,
): Promise<ExitStatus> {
  const context = createContext(commandLine, streams);
  let status: ExitStatus = CLEAN;
  const program = createProgram(context, (result) => {
    status = result;
  });
  try {
    await program.parseAsync([...commandLine], { from: 'user' });
    await context.stdout.flush();
    return status;
  } catch (error) {
    return await report(error, { commandLine, context, program });
  }
}

function createContext(commandLine: readonly string[], streams: CliStreams): Context {
  const { stdout: stdoutStream, stderr, environment, ...others } = streams;
  const describe = (stream: OutputStream, name: string) =>
    new Output(stream, {
      name,
      isTerminal: stream.isTTY === true,
      colour: wantsColour(environment, stream.isTTY === true),
      signal: streams.signal,
    });
  const reporter = new Reporter(describe(stderr, 'standard error'), {
    audience: wantsJsonErrors(commandLine) ? 'programs' : 'people',
    dumbTerminal: environment['TERM'] === 'dumb',
  });
  const stdout = describe(stdoutStream, 'standard output');
  return { ...others, stdout, reporter };
}

/** Errors of the command line itself occur before commander knows the options. */
function wantsJsonErrors(commandLine: readonly string[]): boolean {
  const end = commandLine.indexOf('--');
  const options = end < 0 ? commandLine : commandLine.slice(0, end);
  return options.includes('--json') || options.includes('--ndjson');
}

interface FailedRun {
  readonly commandLine: readonly string[];
  readonly context: Context;
  readonly program: Command;
}

async function report(error: unknown, run: FailedRun): Promise<ExitStatus> {
  const { context } = run;
  const outcome = isReaderGone(error) ? error : await flushAfter(error, context);
  if (isReaderGone(outcome)) return CLEAN;
  if (isCommanderError(outcome)) {
    if (outcome.exitCode === 0) return CLEAN;
    reportUsage(outcome, run);
    return WRONG_USAGE;
  }
  if (context.signal.aborted) {
    const path = isStorageError(outcome, 'aborted') ? outcome.path : undefined;
    context.reporter.error(new StorageError('aborted', { what: 'interrupted', path }));
    return INTERRUPTED;
  }
  context.reporter.error(outcome);
  return statusOfError(outcome);
}

/** Prints what precedes the error. Returns the error to report. */
async function flushAfter(error: unknown, context: Context): Promise<unknown> {
  try {
    context.stdout.completeDocument();
    await context.stdout.flush();
    return error;
  } catch (flushError) {
    return isStorageError(error) ? error : flushError;
  }
}

function isCommanderError(error: unknown): error is CommanderError {
  return isNativeError(error) && 'code' in error && `${error.code}`.startsWith('commander.');
}

function reportUsage(error: CommanderError, { program, commandLine, context }: FailedRun): void {
  const help = helpFor(program, commandLine);
  if (error.code === 'commander.help') {
    context.reporter.usage('a command is missing', [`See '${help}'.`]);
    return;
  }
  const text = withMissingOptions(error, innermost(program, commandLine));
  const suggestion = /\n\((Did you mean [^\n]*\?)\)$/.exec(text);
  const message = suggestion === null ? text : text.slice(0, suggestion.index);
  const hints = suggestion === null ? [] : [printable(suggestion[1] ?? '')];
  context.reporter.usage(printable(message), [...hints, `See '${help}'.`]);
}

/** If an argument is missing, names missing options as well. */
function withMissingOptions(error: CommanderError, command: Command): string {
  const text = error.message.replace(/^error: /, '');
  if (error.code !== 'commander.missingArgument') return text;
  const missing = missingOptions(command);
  return missing === undefined ? text : `${text}; ${missing}`;
}

/** The command line that shows the help of the innermost command that was named. */
function helpFor(program: Command, commandLine: readonly string[]): string {
  const names: string[] = [];
  let command: Command | null = innermost(program, commandLine);
  for (; command !== null; command = command.parent) names.unshift(command.name());
  return `${names.join(' ')} --help`;
}

function innermost(program: Command, commandLine: readonly string[]): Command {
  let command = program;
  for (const word of commandLine) {
    const inner = command.commands.find((candidate) => candidate.name() === word);
    if (inner === undefined) break;
    command = inner;
  }
  return command;
}
