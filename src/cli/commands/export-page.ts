/** `export page`: writes the bytes of one page, from a layer or as a pageserver would read it from a timeline. */
import type { Stats } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { parseKeyWords } from '../arguments.ts';
import {
  addCommand,
  addCommandGroup,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context, Format } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import type { ReadEntry } from '../open-layer.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { refuseTerminal } from '../output.ts';
import { pageJson, pageProperties, type ShownPage } from '../page-header.ts';
import { WAL_REDO } from '../redo-program.ts';
import { AT_LSN, formatOf, JSON_ERRORS, READ_LIMITS } from '../shared-options.ts';
import { writeProperties } from '../table.ts';
import { addExportPgdata } from './export-pgdata.ts';

const OPTIONS = {
  ...AT_LSN,
  out: option('--out <file>', 'output file, or - for standard output (default: -)', String),
  describe: flag('--describe', 'print the header of the page; its bytes are only written to --out'),
  redoInput: option(
    '--redo-input <file>',
    'output file for the messages to a wal-redo process',
    String,
  ),
  walRedo: WAL_REDO,
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type ExportOptions = OptionValues<typeof OPTIONS>;

export function addExport({ program, runner }: CommandParents): void {
  const parent = addCommandGroup(program, 'export').description(
    'Extract data: export page, export pgdata.',
  );
  const command = addCommand(parent, 'page', OPTIONS)
    .description('Extract the 8,192 bytes of a page.')
    .argument('<source>', 'layer file, directory, index_part.json, or an s3:// or https:// URL')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((file: string, words: string[], options: ExportOptions) =>
      runner((context) => exportPage(context, { file, words }, options)),
    );
  addExamples(command, [
    ['layerfile export page FILE rel=1663/5/16384 blkno=0 --out page.bin', 'to a file'],
    ['layerfile export page FILE KEY | pg_filedump -', 'to another program'],
    ['layerfile export page FILE KEY --describe', 'LSN, checksum and layout of the page'],
    ['layerfile export page DIR KEY --lsn 0/1696000 --out page.bin', 'as a pageserver reads it'],
    ['layerfile export page DIR KEY --wal-redo ./postgres > page.bin', 'with WAL replayed'],
  ]);
  addExportPgdata({ program: parent, runner });
}

export async function exportPage(
  context: Context,
  { file, words }: { file: string; words: readonly string[] },
  options: ExportOptions,
): Promise<ExitStatus> {
  const key = parseKeyWords(words);
  const { out, redoInput } = options;
  const describe = options.describe === true;
  const target = out === '-' ? undefined : out;
  const isFromTimeline = await isTimeline(file, options);
  if (redoInput === '-' && target === undefined) throw twoOutputs('the redo input');
  for (const output of [target, redoInput === '-' ? undefined : redoInput]) {
    if (output !== undefined) await checkOutput(file, output, isFromTimeline);
  }
  if (target === undefined && !describe) refuseTerminal(context.stdout);
  if (out === '-' && describe) throw twoOutputs('--describe');
  const exported = isFromTimeline
    ? await fromTimeline(context, { file, key }, options)
    : await fromLayer(context, { file, key }, options);
  if (isStorageError(exported)) {
    context.reporter.error(exported);
    return FINDINGS;
  }
  const { page } = exported;
  const shown = describe ? shownPage(key, page) : undefined;
  if (target !== undefined) await writeOutput(target, page, context.signal);
  if (shown !== undefined) {
    await writeDescription(context, { ...exported, key, shown, format: formatOf(options) });
  } else if (target === undefined) await context.stdout.writeBytes(page);
  return CLEAN;
}

/** A page and its LSN, or an error that says why there is none. */
type Exported = { readonly page: Uint8Array; readonly lsn: Lsn } | StorageError;

/** A layer file is read as a single layer, unless redo is wanted. */
async function isTimeline(file: string, options: ExportOptions): Promise<boolean> {
  if (options.redoInput !== undefined || options.walRedo !== undefined) return true;
  if (/^(s3|https?):\/\//.test(file)) return true;
  const { isIndexName } = await import('../../timeline/timeline-layout.ts');
  if (isIndexName(basename(file))) return true;
  const { stat } = await import('node:fs/promises');
  const found = await ifThere(onFile('look up file', file, stat(file)));
  return found?.isDirectory() === true;
}

async function fromLayer(
  context: Context,
  { file, key }: { file: string; key: Key },
  options: ExportOptions,
): Promise<Exported> {
  const layers = await import('../open-layer.ts');
  const { lsn } = options;
  await using reader = await layers.openForReading(file, options);
  const read = await layers.readEntry(reader, { key, lsn });
  if (read === undefined) return layers.notFoundError(file, { key, lsn });
  const page = pageOf(read, file);
  layers.warnOfName(context, { file, reader });
  return { page, lsn: read.entry.lsn };
}

async function fromTimeline(
  context: Context,
  { file, key }: { file: string; key: Key },
  options: ExportOptions,
): Promise<Exported> {
  const { readForExport } = await import('../export-from-timeline.ts');
  const { lsn, redoInput, walRedo } = options;
  const onRedoInput =
    redoInput === undefined
      ? undefined
      : (messages: Uint8Array) => writeMessages(context, redoInput, messages);
  const request = { source: file, key, lsn, onRedoInput, redoProgram: walRedo };
  const exported = await readForExport(context, request, options);
  return exported.kind === 'page' ? exported : exported.error;
}

async function writeMessages(
  { stdout, signal }: Context,
  target: string,
  messages: Uint8Array,
): Promise<void> {
  if (target === '-') await stdout.writeBytes(messages);
  else await writeOutput(target, messages, signal);
}

/** Throws `usage` for an output that is the source, or in it; `not-found` or `io` without its directory. */
async function checkOutput(source: string, output: string, isTimeline: boolean): Promise<void> {
  const paths = await import('../output-paths.ts');
  await paths.refuseInputAsOutput(source, output);
  if (isTimeline) await paths.refuseOutputWithin([source], dirname(output));
  await paths.checkOutputDirectory(dirname(output));
}

function twoOutputs(other: string): StorageError {
  const what = `${other} and the page would both go to standard output: use --out FILE`;
  return new StorageError('usage', { what });
}

/** Throws `usage` for a page of the transaction status, which has no page header. */
function shownPage(key: Key, page: Uint8Array): ShownPage {
  const meaning = describeKey(key);
  if (meaning.kind === 'rel_block') return { page, blockNumber: meaning.blkno };
  throw new StorageError('usage', {
    what: 'only blocks of relations have a page header to describe',
    key: formatKey(key),
  });
}

async function writeDescription(
  { stdout }: Context,
  { key, lsn, shown, format }: { key: Key; lsn: Lsn; shown: ShownPage; format: Format },
): Promise<void> {
  if (format !== 'people') {
    const place = { key: formatKey(key), lsn: formatLsn(lsn) };
    await stdout.write(`${encodeJson({ ...place, ...pageJson(shown) })}\n`);
    return;
  }
  await writeProperties(stdout, [
    ['key', `${formatKey(key)}  ${explainKey(key)}`],
    ['LSN', formatPgLsn(lsn)],
    ...pageProperties(shown),
  ]);
}

/**
 * Writes through a symbolic link to a file, as a shell does, but replaces a dangling link. A device
 * or a FIFO receives the bytes without a temporary file.
 */
async function writeOutput(out: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const { stat, writeFile } = await import('node:fs/promises');
  const { overwriteFile } = await import('../../write-once/overwrite.ts');
  const { preservedAttributes, realPathOf } = await import('../output-paths.ts');
  const found = await ifThere(onFile('look up file', out, stat(out)));
  if (found?.isFile()) {
    const preserve = await preservedAttributes();
    await overwriteFile(await realPathOf(out), bytes, { signal, preserve });
  } else if (found === undefined || found.isDirectory()) {
    await overwriteFile(out, bytes, { signal });
  } else {
    await onFile('write file', out, writeFile(out, bytes, { signal }));
  }
}

async function ifThere(found: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await found;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function onFile<T>(action: string, path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    const { fromNodeError } = await import('../../virtual-file/system-error.ts');
    throw fromNodeError(action, path, error);
  }
}

/** Bytes that Neon appends to a page of the transaction status: a timestamp. */
const CLOG_TIMESTAMP_SIZE = 8;

/** Throws `needs-redo` for a WAL record, `out-of-range` for an image that is not a page. */
function pageOf(read: ReadEntry, file: string): Uint8Array {
  const { entry, type, value } = read;
  const where = {
    path: file,
    offset: entry.offset,
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
  };
  if (value !== undefined && value.type !== 'image') {
    throw new StorageError('needs-redo', {
      ...where,
      what: 'the newest entry is not an image: WAL would have to be replayed',
      expected: 'type image',
      actual: type,
    });
  }
  const image = value?.bytes ?? entry.bytes;
  const meaning = describeKey(entry.key);
  const isClog = meaning.kind === 'slru_block' && meaning.slru === 'clog';
  if (image.length === PAGE_SIZE) return image;
  if (isClog && image.length === PAGE_SIZE + CLOG_TIMESTAMP_SIZE) {
    return image.subarray(0, PAGE_SIZE);
  }
  throw new StorageError('out-of-range', {
    ...where,
    what: 'image that is not a page',
    expected: `${PAGE_SIZE} bytes`,
    actual: `${image.length}`,
  });
}
