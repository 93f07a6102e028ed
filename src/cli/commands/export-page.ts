/** `export page`: the bytes of one page image. */
import type { Stats } from 'node:fs';
import { dirname } from 'node:path';
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { parseKeyWords } from '../arguments.ts';
import {
  addCommand,
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
import { refuseTerminal } from '../output.ts';
import { pageJson, pageProperties, type ShownPage } from '../page-header.ts';
import { AT_LSN, formatOf, JSON_ERRORS, READ_LIMITS } from '../shared-options.ts';
import { writeProperties } from '../table.ts';

const OPTIONS = {
  ...AT_LSN,
  out: option('--out <file>', 'output file, or - for standard output (default: -)', String),
  describe: flag(
    '--describe',
    'header of the page on standard output; its bytes go to --out alone',
  ),
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type ExportOptions = OptionValues<typeof OPTIONS>;

export function addExport({ program, runner }: CommandParents): void {
  const parent = addCommand(program, 'export').description(
    'Extract data from a layer: export page.',
  );
  const command = addCommand(parent, 'page', OPTIONS)
    .description('Extract the 8,192 bytes of a page image.')
    .argument('<file>', 'layer file')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((file: string, words: string[], options: ExportOptions) =>
      runner((context) => exportPage(context, { file, words }, options)),
    );
  addExamples(command, [
    ['layerfile export page FILE rel=1663/5/16384 blkno=0 --out page.bin', 'to a file'],
    ['layerfile export page FILE KEY | pg_filedump -', 'to another program'],
    ['layerfile export page FILE KEY --describe', 'LSN, checksum and layout of the page'],
  ]);
}

export async function exportPage(
  context: Context,
  { file, words }: { file: string; words: readonly string[] },
  options: ExportOptions,
): Promise<ExitStatus> {
  const layers = await import('../open-layer.ts');
  const { checkOutputDirectory, refuseInputAsOutput } = await import('../output-paths.ts');
  const key = parseKeyWords(words);
  const { lsn, out } = options;
  const describe = options.describe === true;
  const target = out === '-' ? undefined : out;
  if (target !== undefined) {
    await refuseInputAsOutput(file, target);
    await checkOutputDirectory(dirname(target));
  } else if (!describe) refuseTerminal(context.stdout);
  else if (out === '-') throw twoOutputs();
  await using reader = await layers.openForReading(file, options);
  const read = await layers.readEntry(reader, { key, lsn });
  if (read === undefined) {
    context.reporter.error(layers.notFoundError(file, { key, lsn }));
    return FINDINGS;
  }
  const page = pageOf(read, file);
  layers.warnOfName(context, { file, reader });
  const shown = describe ? shownPage(read, page) : undefined;
  if (target !== undefined) await writePage(target, page, context.signal);
  if (shown !== undefined) {
    await writeDescription(context, read, { shown, format: formatOf(options) });
  } else if (target === undefined) await context.stdout.writeBytes(page);
  return CLEAN;
}

function twoOutputs(): StorageError {
  const what = '--describe and the page would both go to standard output: use --out FILE';
  return new StorageError('usage', { what });
}

/** Throws `usage` for a page of the transaction status, which has no page header. */
function shownPage({ entry }: ReadEntry, page: Uint8Array): ShownPage {
  const meaning = describeKey(entry.key);
  if (meaning.kind === 'rel_block') return { page, blockNumber: meaning.blkno };
  throw new StorageError('usage', {
    what: 'only blocks of relations have a page header to describe',
    key: formatKey(entry.key),
  });
}

async function writeDescription(
  { stdout }: Context,
  { entry }: ReadEntry,
  { shown, format }: { shown: ShownPage; format: Format },
): Promise<void> {
  if (format !== 'people') {
    const place = { key: formatKey(entry.key), lsn: formatLsn(entry.lsn) };
    await stdout.write(`${encodeJson({ ...place, ...pageJson(shown) })}\n`);
    return;
  }
  await writeProperties(stdout, [
    ['key', `${formatKey(entry.key)}  ${explainKey(entry.key)}`],
    ['LSN', formatPgLsn(entry.lsn)],
    ...pageProperties(shown),
  ]);
}

/**
 * Writes through a symbolic link to a file, as a shell does, but replaces a dangling link. A device
 * or a FIFO receives the bytes without a temporary file.
 */
async function writePage(out: string, page: Uint8Array, signal: AbortSignal): Promise<void> {
  const { stat, writeFile } = await import('node:fs/promises');
  const { overwriteFile } = await import('../../write-once/overwrite.ts');
  const { preservedAttributes, realPathOf } = await import('../output-paths.ts');
  const found = await ifThere(onFile('look up file', out, stat(out)));
  if (found?.isFile()) {
    const preserve = await preservedAttributes();
    await overwriteFile(await realPathOf(out), page, { signal, preserve });
  } else if (found === undefined || found.isDirectory()) {
    await overwriteFile(out, page, { signal });
  } else {
    await onFile('write file', out, writeFile(out, page, { signal }));
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
