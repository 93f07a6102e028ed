/** Man pages, from what the help shows. */
import { allCommands, type DescribedCommand } from './command-tree.ts';

export interface ManPage {
  /** `layerfile-check.1`. */
  readonly fileName: string;
  readonly text: string;
}

export interface ManPageOptions {
  readonly version: string;
  /** The help of a command, without usage and options: examples and notes. */
  readonly notes: (path: readonly string[]) => string;
}

/** A page for the program, and one for each command. */
export function manPages(program: DescribedCommand, options: ManPageOptions): ManPage[] {
  return [...allCommands(program)].map((command) => {
    const name = ['layerfile', ...command.path].join('-');
    return { fileName: `${name}.1`, text: pageOf(command, name, options) };
  });
}

function pageOf(command: DescribedCommand, name: string, options: ManPageOptions): string {
  const { path, description, usage } = command;
  const line = ['layerfile', ...path].join(' ');
  const sections = [
    `.TH "${name.toUpperCase()}" "1" "" "layerfile ${escaped(options.version)}" "layerfile"`,
    `.SH NAME\n${escaped(name)} \\- ${escaped(description)}`,
    `.SH SYNOPSIS\n.B ${escaped(line)}\n${escaped(usage)}`,
    ...commandsOf(command),
    ...optionsOf(command),
    ...notesOf(options.notes(path)),
  ];
  return `${sections.join('\n')}\n`;
}

function commandsOf({ commands }: DescribedCommand): string[] {
  if (commands.length === 0) return [];
  const items = commands.map(
    ({ path, description }) =>
      `.TP\n.BR ${escaped(['layerfile', ...path].join('-'))} (1)\n${escaped(description)}`,
  );
  return ['.SH COMMANDS', ...items];
}

function optionsOf({ options }: DescribedCommand): string[] {
  const items = options.map(
    ({ flags, description }) => `.TP\n.B ${escaped(flags)}\n${escaped(description)}`,
  );
  return items.length === 0 ? [] : ['.SH OPTIONS', ...items];
}

function notesOf(notes: string): string[] {
  return notes.trim() === '' ? [] : ['.SH NOTES', '.nf', escaped(notes.trim()), '.fi'];
}

/** A line that begins with a dot or a quote would be a request. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');
}
