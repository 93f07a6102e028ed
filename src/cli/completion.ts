/** Scripts that let a shell complete the command line. */
import { allCommands, type DescribedCommand, type DescribedOption } from './command-tree.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The script for a shell. It does not start the program. */
export function completionScript(shell: Shell, program: DescribedCommand): string {
  switch (shell) {
    case 'bash':
      return bashScript(program);
    case 'zsh':
      // zsh runs completions that are written for bash.
      return `#compdef layerfile\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(program)}`;
    case 'fish':
      return fishScript(program);
  }
}

/** The words of the command line without options are the command; the rest are files. */
function bashScript(program: DescribedCommand): string {
  const commands = [...allCommands(program)];
  const words = commands.map(
    ({ path, commands: inner, options }) =>
      `    ${quoted(path.join(' '))}) words=${quoted(
        [...inner.map(nameOf), ...options.flatMap(({ names }) => names)].join(' '),
      )} ;;`,
  );
  const choices = commands.flatMap(({ path, options }) =>
    options
      .filter((option) => option.choices.length > 0)
      .map(
        ({ names, choices: values }) =>
          `    ${names.map((name) => quoted(`${path.join(' ')}:${name}`)).join('|')}) values=${quoted(values.join(' '))} ;;`,
      ),
  );
  return `_layerfile() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command='' words='' values='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${command:+$command }$word" in
${commands
  .filter(({ path }) => path.length > 0)
  .map(({ path }) => `      ${quoted(path.join(' '))}) command=${quoted(path.join(' '))} ;;`)
  .join('\n')}
    esac
  done
  case "$command:$previous" in
${choices.join('\n')}
  esac
  if [ -n "$values" ]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
    return
  fi
  case "$command" in
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "$current" in
    -*) ;;
    *) COMPREPLY+=($(compgen -f -- "$current")) ;;
  esac
}
complete -o filenames -F _layerfile layerfile
`;
}

function fishScript(program: DescribedCommand): string {
  const lines = ['complete -c layerfile -e'];
  for (const { path, commands, options } of allCommands(program)) {
    const names = commands.map(nameOf);
    const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`);
    const unseen = names.length === 0 ? [] : [`not __fish_seen_subcommand_from ${names.join(' ')}`];
    const condition = quoted([...seen, ...unseen].join('; and '));
    for (const { path: inner, description } of commands) {
      lines.push(
        `complete -c layerfile -n ${condition} -a ${inner.at(-1)} -d ${quoted(description)}`,
      );
    }
    for (const option of options) {
      const where = seen.length === 0 && unseen.length === 0 ? '' : ` -n ${condition}`;
      lines.push(`complete -c layerfile${where} ${fishOption(option)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function fishOption({ names, description, takesValue, choices }: DescribedOption): string {
  const flags = names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const values = choices.length > 0 ? ` -xa ${quoted(choices.join(' '))}` : takesValue ? ' -r' : '';
  return `${flags.join(' ')}${values} -d ${quoted(description)}`;
}

function nameOf({ path }: DescribedCommand): string {
  return path.at(-1) ?? '';
}

/** In single quotes, which hold for all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", `'"'"'`)}'`;
}
