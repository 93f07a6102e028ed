/** The commands that look at layers: their arguments, options and examples. */
import { type Command, Option } from 'commander';
import type { Lsn } from '../layers/lsn.ts';
import { countArgument, keyArgument, lsnArgument, sizeArgument } from './arguments.ts';
import { addCommand, addExamples, type CommandParents } from './command-parts.ts';
import type { Format } from './context.ts';
import type { ReadLimits } from './open-layer.ts';
import { VALUES_MODES, type ValuesMode } from './values-mode.ts';

export interface FormatFlags {
  readonly json?: true;
  readonly ndjson?: true;
}

export function addReadingCommands(parents: CommandParents): void {
  addInspect(parents);
  addDump(parents);
  addGet(parents);
  addVerify(parents);
  addIndex(parents);
  addLayout(parents);
}

/** `--json` and `--ndjson` where both print the one object that there is. */
export function addObjectFormat(command: Command): Command {
  return command
    .option('--json', 'print one JSON object')
    .addOption(new Option('--ndjson', 'the same as --json').hideHelp());
}

/** What a blob of a file that nobody vouches for may cost. */
export function addReadLimits(command: Command): Command {
  return command
    .option(
      '--max-blob <size>',
      'largest value, after decompression (default: 256MiB); given, it bounds a whole scan, too',
      sizeArgument,
    )
    .option(
      '--max-window <size>',
      'largest window of a zstd frame, up to 128MiB (default: 8MiB)',
      sizeArgument,
    );
}

export function formatOf(flags: FormatFlags): Format {
  if (flags.ndjson) return 'ndjson';
  return flags.json ? 'json' : 'people';
}

function addListFormat(command: Command, what: string): Command {
  return command
    .addOption(new Option('--ndjson', `print one JSON object a line, ${what}`).conflicts('json'))
    .option('--json', 'print one JSON document');
}

function addInspect({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'inspect')
    .description('Print the summary of a layer file, and whether its name agrees.')
    .argument('<file>', 'layer file');
  addObjectFormat(command).action((file: string, flags: FormatFlags) =>
    runner(async (context) => {
      const { inspect } = await import('./commands/inspect.ts');
      return inspect(context, { file, format: formatOf(flags) });
    }),
  );
  addExamples(command, [
    ['layerfile inspect FILE', 'for people'],
    ['layerfile inspect FILE --json', 'for programs; also the header that build takes'],
  ]);
}

interface DumpFlags extends FormatFlags, ReadLimits {
  readonly values: ValuesMode;
  readonly keyStart?: Uint8Array;
  readonly keyEnd?: Uint8Array;
  readonly lsnStart?: Lsn;
  readonly lsnEnd?: Lsn;
  readonly limit?: number;
}

function addDump({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'dump')
    .description('Print every entry in index order; damage is shown in its place.')
    .argument('<file>', 'layer file');
  addListFormat(command, 'an entry each')
    .addOption(
      new Option('--values <what>', 'what to print of each value')
        .choices(VALUES_MODES)
        .default('none'),
    )
    .option('--key-start <key>', 'first key', keyArgument)
    .option('--key-end <key>', 'key to stop before', keyArgument)
    .option('--lsn-start <lsn>', 'first LSN', lsnArgument)
    .option('--lsn-end <lsn>', 'LSN to stop before', lsnArgument)
    .option('--limit <n>', 'print at most so many lines', countArgument);
  addReadLimits(command).action((file: string, flags: DumpFlags) =>
    runner(async (context) => {
      const { dump } = await import('./commands/dump.ts');
      return dump(context, { ...flags, file, format: formatOf(flags) });
    }),
  );
  addExamples(command, [
    ['layerfile dump FILE | less', 'a table'],
    ['layerfile dump FILE --ndjson --values sha256', 'for programs, with digests'],
    [
      'layerfile dump FILE --lsn-start 0/1696000 --limit 20',
      'twenty entries from an LSN on; both forms of an LSN are understood',
    ],
    [
      '(layerfile inspect A --json; layerfile dump A --ndjson --values json) |\n' +
        '      layerfile build --out B --no-compress',
      'the same layer once more',
    ],
  ]);
}

interface GetFlags extends FormatFlags, ReadLimits {
  readonly lsn?: Lsn;
  readonly raw?: true;
}

function addGet({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'get')
    .description('Print the newest entry of a key at or before an LSN.')
    .argument('<file>', 'layer file')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .option(
      '--lsn <lsn>',
      'the newest entry is wanted at or before it (default: the newest)',
      lsnArgument,
    )
    .addOption(
      new Option('--raw', 'the bytes alone: image, WAL record or serialized value').conflicts([
        'json',
        'ndjson',
      ]),
    );
  addReadLimits(addObjectFormat(command)).action((file: string, key: string[], flags: GetFlags) =>
    runner(async (context) => {
      const { get } = await import('./commands/get.ts');
      return get(context, {
        ...flags,
        file,
        key,
        lsn: flags.lsn,
        format: flags.raw ? 'raw' : formatOf(flags),
      });
    }),
  );
  addExamples(command, [
    ['layerfile get FILE 000000067F00000005000040000000000007', 'by its hex digits'],
    ['layerfile get FILE rel=1663/5/16384 blkno=7 --lsn 0/1696000', 'by what it means'],
    ['layerfile get FILE KEY --raw > page.bin', 'the bytes'],
  ]);
}

interface VerifyFlags extends FormatFlags, ReadLimits {
  readonly maxFindings?: number;
  readonly pageChecksums?: true;
}

function addVerify({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'verify')
    .description('Read every block and every blob, and report what is wrong.')
    .argument('<path...>', 'layer files, or directories to look through');
  addListFormat(command, 'a file each').option(
    '--max-findings <n>',
    'list at most so many findings of a file (default: 1000)',
    countArgument,
  );
  command.option('--page-checksums', 'check the checksums of Postgres pages, see below');
  addReadLimits(command).action((paths: string[], flags: VerifyFlags) =>
    runner(async (context) => {
      const { verify } = await import('./commands/verify.ts');
      return verify(context, {
        ...flags,
        paths,
        format: formatOf(flags),
        maximumFindings: flags.maxFindings,
        pageChecksums: flags.pageChecksums,
      });
    }),
  );
  addExamples(command, [
    ['layerfile verify FILE', 'one file'],
    ['layerfile verify tenants --ndjson', 'all layers below a directory, for programs'],
    ['layerfile verify FILE --page-checksums', 'a layer of an imported cluster with checksums'],
  ]);
  command.addHelpText(
    'after',
    `
--page-checksums finds a flipped bit inside a page, in layers of a cluster that has checksums. A
pageserver does not set them: pages that it has made from WAL have a stale checksum or none, so
that a mismatch in its own layers is no damage. Pages without a checksum are counted.`,
  );
}

function addIndex({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'index')
    .description('Print every block of the B-tree index.')
    .argument('<file>', 'layer file');
  addListFormat(command, 'a block each').action((file: string, flags: FormatFlags) =>
    runner(async (context) => {
      const { index } = await import('./commands/index-blocks.ts');
      return index(context, { file, format: formatOf(flags) });
    }),
  );
  addExamples(command, [['layerfile index FILE', 'levels, prefixes and key ranges']]);
}

interface LayoutFlags extends FormatFlags {
  readonly hex?: true;
}

function addLayout({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'layout')
    .description('Print what every byte of a layer file is.')
    .argument('<file>', 'layer file');
  addListFormat(command, 'a range of bytes each')
    .option('--hex', 'show the first bytes of each range')
    .action((file: string, flags: LayoutFlags) =>
      runner(async (context) => {
        const { layout } = await import('./commands/layout.ts');
        return layout(context, { file, format: formatOf(flags), hex: flags.hex ?? false });
      }),
    );
  addExamples(command, [
    ['layerfile layout FILE | less', 'summary, values, padding and index'],
    ['layerfile layout FILE --hex', 'the same, with the bytes'],
  ]);
}
