/** `completion`, and the man pages that are made when the package is built. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { addCommand, addExamples, type CommandParents } from '../command.ts';
import { SHELLS, type Shell } from '../completion.ts';
import { CLEAN } from '../exit-status.ts';

export function addCompletion({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'completion')
    .description('Print a script that completes commands and options.')
    .action((shell: Shell) =>
      runner(async ({ stdout }) => {
        const { completionScript } = await import('../completion.ts');
        const { describeCommand } = await import('../command-tree.ts');
        await stdout.write(completionScript(shell, describeCommand(program)));
        return CLEAN;
      }),
    );
  command.addArgument(command.createArgument('<shell>', 'bash, zsh or fish').choices(SHELLS));
  addExamples(command, [
    ['source <(layerfile completion bash)', 'in ~/.bashrc; for zsh, in ~/.zshrc'],
    ['layerfile completion fish > ~/.config/fish/completions/layerfile.fish', 'to be run once'],
  ]);
  addManPages({ program, runner });
}

/** Not meant for users, since the package contains the pages. */
function addManPages({ program, runner }: CommandParents): void {
  program
    .command('man-pages', { hidden: true })
    .argument('<dir>')
    .action((directory: string) =>
      runner(async ({ signal }) => {
        const { mkdir, writeFile } = await import('node:fs/promises');
        const { manPages } = await import('../man-page.ts');
        const { describeCommand } = await import('../command-tree.ts');
        await mkdir(directory, { recursive: true });
        const version = program.version() ?? '';
        const notes = (path: readonly string[]) => notesOf(innermost(program, path));
        for (const { fileName, text } of manPages(describeCommand(program), { version, notes })) {
          await writeFile(join(directory, fileName), text, { signal });
        }
        return CLEAN;
      }),
    );
}

function innermost(program: Command, path: readonly string[]): Command {
  let command = program;
  for (const name of path) {
    command = command.commands.find((inner) => inner.name() === name) ?? command;
  }
  return command;
}

/** What `addHelpText` has added: the help without what commander makes itself. */
function notesOf(command: Command): string {
  let help = '';
  const { writeOut, getOutHasColors } = command.configureOutput();
  command.configureOutput({ writeOut: (text) => (help += text), getOutHasColors: () => false });
  command.outputHelp();
  command.configureOutput({
    ...(writeOut === undefined ? {} : { writeOut }),
    ...(getOutHasColors === undefined ? {} : { getOutHasColors }),
  });
  return help.slice(command.helpInformation().length);
}
