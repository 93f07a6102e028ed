/** The commands that write, or work on keys: their arguments, options and examples. */
import { type Command, Option } from 'commander';
import type { Lsn } from '../layers/lsn.ts';
import { KEY_FIELDS_HELP } from '../postgres/key-fields.ts';
import {
  directoryArgument,
  generationArgument,
  identifierArgument,
  layerLsnOrAutoArgument,
  lsnArgument,
  zstdLevelArgument,
} from './arguments.ts';
import {
  addCommand,
  addExamples,
  addRequiredOption,
  type CommandParents,
  checkRequiredOptions,
} from './command-parts.ts';
import type { ReadLimits } from './open-layer.ts';
import { addObjectFormat, addReadLimits, type FormatFlags, formatOf } from './reading-commands.ts';

export function addWritingCommands(parents: CommandParents): void {
  addBuild(parents);
  addMetadata(parents);
  addKey(parents);
  addImport(parents);
  addExport(parents);
}

interface LayerFlags {
  readonly out: string;
  /** A level, where `--zstd` is given. */
  readonly zstd?: number;
  /** False with `--no-compress`. */
  readonly compress: boolean;
  readonly generation?: string;
}

function addLayerOptions(command: Command): Command {
  return addRequiredOption(command, '--out <dir>', {
    description: 'directory that the layer goes into',
    parse: directoryArgument,
  })
    .hook('preAction', () => checkRequiredOptions(command))
    .addOption(
      new Option('--zstd <level>', 'compress images, -7 to 22, 0 is 3 (default: 1)').argParser(
        zstdLevelArgument,
      ),
    )
    .addOption(new Option('--no-compress', 'store images as they are').conflicts('zstd'))
    .option('--generation <hex8>', 'generation that the name ends in', generationArgument);
}

/** Where the result is a JSON line in any case. */
function addJsonErrors(command: Command): Command {
  return command
    .option('--json', 'print errors as JSON as well')
    .addOption(new Option('--ndjson', 'the same').hideHelp());
}

function addBuild({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'build')
    .description('Make a layer file from NDJSON: a header line, then one entry a line.')
    .argument('[spec]', 'file, or - for standard input', '-');
  addJsonErrors(addLayerOptions(command)).action((spec: string, flags: LayerFlags) =>
    runner(async (context) => {
      const { build } = await import('./commands/build.ts');
      return build(context, { ...flags, spec });
    }),
  );
  addExamples(command, [
    ['layerfile build --out DIR < spec.ndjson', 'from standard input'],
    ['layerfile build --out DIR --zstd 19 --generation 0000002a spec.ndjson', 'from a file'],
  ]);
  command.addHelpText(
    'after',
    `
The header of a delta layer, and an entry:
  {"kind":"delta","tenant_id":ID,"timeline_id":ID,"key_start":KEY,"key_end":KEY,
   "lsn_start":LSN,"lsn_end":LSN}
  {"key":KEY,"lsn":LSN,"value":{"type":"image","hex":"..."}}
Of an image layer ("lsn" in the place of the two):
  {"key":KEY,"hex":"..."}
Entries ascend by key, then by LSN. What dump --values json prints is understood.`,
  );
}

interface MetadataFlags extends FormatFlags {
  readonly set?: readonly string[];
}

function addMetadata({ program, runner }: CommandParents): void {
  const collect = (assignment: string, others: readonly string[] = []) => [...others, assignment];
  const command = addCommand(program, 'metadata')
    .description('Print the timeline metadata of a 512-byte metadata file, or change it.')
    .usage('[options] <file> [--set <name=value>...]')
    .argument('<file>', 'metadata file')
    .argument('[assignments...]')
    .option('--set <name=value>', 'rewrite the file, crash-safe, with new values', collect);
  addObjectFormat(command).action((file: string, more: string[], flags: MetadataFlags) =>
    runner(async (context) => {
      const { metadata } = await import('./commands/metadata.ts');
      const assignments = { set: flags.set ?? [], more };
      return metadata(context, { file, assignments, format: formatOf(flags) });
    }),
  );
  addExamples(command, [
    ['layerfile metadata FILE', 'what it says'],
    ['layerfile metadata FILE --set initdb_lsn=0/1696000 pg_version=17', 'two new values'],
    ['layerfile metadata FILE --set ancestor_timeline=null', 'one of the two that may be absent'],
  ]);
}

function addKey({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'key')
    .description('Explain a key, or make one from what it means.')
    .argument('<key...>', '36 hex digits, or fields');
  addObjectFormat(command).action((words: string[], flags: FormatFlags) =>
    runner(async (context) => {
      const { key } = await import('./commands/key.ts');
      return key(context, { words, format: formatOf(flags) });
    }),
  );
  addExamples(command, [
    ['layerfile key 000000067F00000005000040000000000007', 'block 7 of a relation'],
    ['layerfile key rel=1663/5/16384 fork=main blkno=7', 'its 36 digits'],
    ['layerfile key slru=clog segno=0 size --json', 'both, for programs'],
  ]);
  command.addHelpText('after', `\n${KEY_FIELDS_HELP}`);
}

interface ImportFlags extends LayerFlags {
  readonly tenant: string;
  readonly timeline: string;
  readonly lsn: Lsn | 'auto';
  readonly allowUnclean?: true;
  readonly allowDamaged?: true;
  readonly allowBadPages?: true;
}

function addImport({ program, runner }: CommandParents): void {
  const parent = addCommand(program, 'import').description(
    'Make a layer of something else: import pgdata.',
  );
  const command = addCommand(parent, 'pgdata')
    .description('Make an image layer of a Postgres data directory that was shut down cleanly.')
    .argument('<dir>', 'data directory');
  addLayerOptions(command);
  for (const name of ['tenant', 'timeline']) {
    addRequiredOption(command, `--${name} <id>`, {
      description: `${name}, 32 hex digits`,
      parse: identifierArgument,
    });
  }
  addJsonErrors(command)
    .addOption(
      new Option('--lsn <lsn>', 'LSN of the layer; auto takes the checkpoint')
        .argParser(layerLsnOrAutoArgument)
        .default('auto'),
    )
    .option(
      '--allow-unclean',
      'import although a server runs, was not shut down cleanly or must replay WAL first, and pages ' +
        'that are newer than the layer',
    )
    .option(
      '--allow-damaged',
      'import although relation maps, tablespaces or segments are missing or damaged',
    )
    .option('--allow-bad-pages', 'import pages whose checksum is wrong')
    .action((directory: string, flags: ImportFlags) =>
      runner(async (context) => {
        const { importPostgres } = await import('./commands/import-pgdata.ts');
        return importPostgres(context, { ...flags, directory });
      }),
    );
  addExamples(command, [
    [
      'layerfile import pgdata /var/lib/postgresql/17/main --out DIR --tenant ID --timeline ID',
      'at the LSN of the last checkpoint',
    ],
  ]);
  command.addHelpText(
    'after',
    `
Imported are the relations of all databases (every fork) and the relation maps; not the directories
of relations, transaction status, two-phase files, WAL and configuration. What is left out is counted
by reason. What a server would refuse is refused: a base backup or standby that must replay WAL, a
relation map or version of a database that is missing or damaged, and, in a cluster with checksums,
pages that fail theirs. Where an option allows it, each is a warning instead.`,
  );
}

interface ExportFlags extends FormatFlags, ReadLimits {
  readonly lsn?: Lsn;
  readonly out?: string;
  readonly describe?: true;
}

function addExport({ program, runner }: CommandParents): void {
  const parent = addCommand(program, 'export').description(
    'Take something out of a layer: export page.',
  );
  const command = addCommand(parent, 'page')
    .description('Write the 8,192 bytes of a page image.')
    .argument('<file>', 'layer file')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .option('--lsn <lsn>', 'the newest page is wanted at or before it', lsnArgument)
    .option('--out <file>', 'file to write, or - for standard output (default: -)')
    .option('--describe', 'print the header of the page; its bytes go to --out alone');
  addJsonErrors(addReadLimits(command)).action((file: string, key: string[], flags: ExportFlags) =>
    runner(async (context) => {
      const { exportPage } = await import('./commands/export-page.ts');
      const { lsn, out, describe = false } = flags;
      return exportPage(context, {
        ...flags,
        file,
        key,
        lsn,
        out,
        describe,
        format: formatOf(flags),
      });
    }),
  );
  addExamples(command, [
    ['layerfile export page FILE rel=1663/5/16384 blkno=0 --out page.bin', 'into a file'],
    ['layerfile export page FILE KEY | pg_filedump -', 'to another program'],
    ['layerfile export page FILE KEY --describe', 'LSN, checksum and layout of the page'],
  ]);
}
