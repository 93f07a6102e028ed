/** The command tree: what commander parses, how its help looks, and which module runs. */
import { type Argument, Command, CommanderError } from 'commander';
import { nearestName } from '../nearest-name.ts';
import type { Style } from './colour.ts';
import { paint } from './colour.ts';
import { addExamples, type Runner } from './command-parts.ts';
import type { Context } from './context.ts';
import type { ExitStatus } from './exit-status.ts';
import { packageVersion } from './package-version.ts';
import { addReadingCommands } from './reading-commands.ts';
import { addWritingCommands } from './writing-commands.ts';

export function createProgram(context: Context, finished: (status: ExitStatus) => void): Command {
  const program = new Command('layerfile')
    .description('Write, read, verify and dump layer files of the Neon pageserver.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(outputConfiguration(context))
    .configureHelp(helpConfiguration(context));
  const runner: Runner = async (run) => finished(await run(context));
  addReadingCommands({ program, runner });
  addWritingCommands({ program, runner });
  addHelpCommand(program);
  addExamples(program, [
    ['layerfile inspect FILE', 'what the file says about itself'],
    ['layerfile dump FILE | less', 'every entry, in index order'],
    ['layerfile verify DIR', 'read every byte of every layer below DIR'],
    ['layerfile help build', 'the help of one command'],
  ]);
  program.addHelpText(
    'after',
    `
Exit status:
  0  clean                            3  could not look (I/O, permission, no such file)
  1  damage, differences, not there   4  a format version that this program does not know
  2  wrong usage                    130  interrupted

Programs read --json or --ndjson; errors are then JSON as well. See also NO_COLOR, FORCE_COLOR.`,
  );
  return program;
}

/** `help import pgdata`; commander's own knows one word, and takes a wrong one for none. */
function addHelpCommand(program: Command): void {
  program
    .command('help')
    .description('Show the help of a command.')
    .argument('[command...]')
    .action((names: string[]) => {
      let command = program;
      for (const name of names) {
        const inner = command.commands.find((candidate) => candidate.name() === name);
        if (inner === undefined) throw unknownCommand(command, name);
        command = inner;
      }
      command.outputHelp();
    });
}

function unknownCommand(command: Command, name: string): CommanderError {
  const nearest = nearestName(
    name,
    command.commands.map((candidate) => candidate.name()),
  );
  const suggestion = nearest === undefined ? '' : `\n(Did you mean ${nearest}?)`;
  const message = `error: unknown command '${name}'${suggestion}`;
  return new CommanderError(1, 'commander.unknownCommand', message);
}

/** An argument without a description is shown elsewhere in the help. */
function shownArguments(command: Command): Argument[] {
  return command.registeredArguments.filter((argument) => argument.description !== '');
}

function argumentTerm(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** Errors are thrown; `run.ts` shows them. */
function outputConfiguration(context: Context) {
  return {
    writeOut: (text: string) => void context.stdout.write(text),
    // Only the help comes here, where a command is missing.
    writeErr: (text: string) => context.reporter.help(text),
    outputError: () => {},
    getOutHasColors: () => context.stdout.colour,
    getErrHasColors: () => false,
    getOutHelpWidth: () => Math.min(context.stdout.columns, 100),
  };
}

function helpConfiguration(context: Context) {
  const painter = (style: Style) => (text: string) => paint(context.stdout, style, text);
  return {
    subcommandTerm: (command: Command) =>
      [command.name(), ...shownArguments(command).map(argumentTerm)].join(' '),
    visibleArguments: shownArguments,
    styleTitle: painter('bold'),
    styleCommandText: painter('bold'),
    styleSubcommandText: painter('cyan'),
    styleOptionText: painter('green'),
    styleArgumentText: painter('yellow'),
  };
}
