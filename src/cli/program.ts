/** The program: all commands, the help, and how commander shows both. */
import { createRequire } from 'node:module';
import { type Argument, Command, CommanderError } from 'commander';
import { nearestName } from '../nearest-name.ts';
import type { Style } from './colour.ts';
import { paint } from './colour.ts';
import { addExamples, type CommandParents, type Runner } from './command.ts';
import { addBuild } from './commands/build.ts';
import { addCheck } from './commands/check.ts';
import { addCompact } from './commands/compact.ts';
import { addCompletion } from './commands/completion.ts';
import { addDiff } from './commands/diff.ts';
import { addDump } from './commands/dump.ts';
import { addExplain } from './commands/explain.ts';
import { addExport } from './commands/export-page.ts';
import { addFind } from './commands/find.ts';
import { addGet } from './commands/get.ts';
import { addImport } from './commands/import-pgdata.ts';
import { addIndex } from './commands/index-blocks.ts';
import { addIndexPart } from './commands/index-part.ts';
import { addInspect } from './commands/inspect.ts';
import { addKey } from './commands/key.ts';
import { addLayout } from './commands/layout.ts';
import { addLs } from './commands/ls.ts';
import { addManifest } from './commands/manifest.ts';
import { addMap } from './commands/map.ts';
import { addMetadata } from './commands/metadata.ts';
import { addRedact } from './commands/redact.ts';
import { addRewrite } from './commands/rewrite.ts';
import { addSalvage } from './commands/salvage.ts';
import { addSpace } from './commands/space.ts';
import { addSplitShards } from './commands/split-shards.ts';
import { addVerify } from './commands/verify.ts';
import { addWal } from './commands/wal.ts';
import type { Context } from './context.ts';
import type { ExitStatus } from './exit-status.ts';

/** In the order of the help. */
const ADD_COMMANDS: readonly ((parents: CommandParents) => void)[] = [
  addInspect,
  addDump,
  addGet,
  addVerify,
  addFind,
  addExplain,
  addLs,
  addCheck,
  addDiff,
  addManifest,
  addSpace,
  addIndex,
  addLayout,
  addMap,
  addWal,
  addBuild,
  addMetadata,
  addIndexPart,
  addKey,
  addImport,
  addExport,
  addCompact,
  addSplitShards,
  addRewrite,
  addSalvage,
  addRedact,
  addCompletion,
];

export function createProgram(context: Context, finished: (status: ExitStatus) => void): Command {
  const program = new Command('layerfile')
    .description('Write, read, verify and dump layer files of the Neon pageserver.')
    .version(packageVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(outputConfiguration(context))
    .configureHelp(helpConfiguration(context));
  const runner: Runner = async (run) => finished(await run(context));
  for (const add of ADD_COMMANDS) add({ program, runner });
  addHelpCommand(program);
  addExamples(program, [
    ['layerfile inspect FILE', 'the summary of the file'],
    ['layerfile dump FILE | less', 'every entry, in index order'],
    ['layerfile verify DIR', 'every byte of every layer below DIR'],
    ['layerfile help build', 'the help of one command'],
  ]);
  program.addHelpText(
    'after',
    `
Exit status:
  0  clean                            3  could not look (I/O, permission, no such file)
  1  damage, differences, not found   4  unknown format version
  2  wrong usage                    130  interrupted

For programs there are --json and --ndjson; errors are then JSON, too. NO_COLOR and FORCE_COLOR are
honoured.`,
  );
  return program;
}

/** `help import pgdata`. Commander's own takes one word, and ignores a wrong one. */
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

/** An argument without a description is not listed: the usage line shows it. */
function shownArguments(command: Command): Argument[] {
  return command.registeredArguments.filter((argument) => argument.description !== '');
}

function argumentTerm(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** Errors are thrown, and shown by `run.ts`. */
function outputConfiguration(context: Context) {
  return {
    writeOut: (text: string) => void context.stdout.write(text),
    // Only for the help that is shown if the command is missing.
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

/** Found by the name of the package, wherever this code is. */
function packageVersion(): string {
  const description: unknown = createRequire(import.meta.url)('layerfile/package.json');
  if (typeof description !== 'object' || description === null) return 'unknown';
  return 'version' in description ? String(description.version) : 'unknown';
}
