/** `export page`: the bytes of one page image. */
import type { Stats } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { fromNodeError } from '../../virtual-file/system-error.ts';
import { overwriteFile } from '../../write-once/overwrite.ts';
import type { Context, Format } from '../context.ts';
import { entryType, type ReadEntry } from '../entry-json.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import { parseKeyWords } from '../key-words.ts';
import { openForReading, type ReadLimits, warnOfName } from '../open-layer.ts';
import { checkOutputDirectory, refuseInputAsOutput } from '../output-paths.ts';
import { pageJson, pageProperties, type ShownPage } from '../page-header.ts';
import { notFoundError, readEntry } from '../read-entry.ts';
import { refuseTerminal } from '../refuse-terminal.ts';
import { preserved, realPathOf } from '../rewritten-file.ts';
import { writeProperties } from '../table.ts';

export interface ExportPageOptions extends ReadLimits {
  readonly file: string;
  readonly key: readonly string[];
  readonly lsn: Lsn | undefined;
  /** A file, or `-` for standard output, as where undefined. */
  readonly out: string | undefined;
  /** Print the header; the bytes go into `out` alone. */
  readonly describe: boolean;
  readonly format: Format;
}

export async function exportPage(
  context: Context,
  { file, key: words, lsn, out, describe, format, ...limits }: ExportPageOptions,
): Promise<ExitStatus> {
  const key = parseKeyWords(words);
  const target = out === '-' ? undefined : out;
  if (target !== undefined) {
    await refuseInputAsOutput(file, target);
    await checkOutputDirectory(dirname(target));
  } else if (!describe) refuseTerminal(context.stdout);
  else if (out === '-') throw twoOutputs();
  await using reader = await openForReading(file, limits);
  const read = await readEntry(reader, { key, lsn });
  if (read === undefined) {
    context.reporter.error(notFoundError(file, { key, lsn }));
    return FINDINGS;
  }
  const page = pageOf(read, file);
  warnOfName(context, { file, reader });
  const shown = describe ? shownPage(read, page) : undefined;
  if (target !== undefined) await writePage(target, page, context.signal);
  if (shown !== undefined) await writeDescription(context, read, { shown, format });
  else if (target === undefined) await context.stdout.writeBytes(page);
  return CLEAN;
}

function twoOutputs(): StorageError {
  const what = '--describe prints to standard output, where the page would go: give --out a file';
  return new StorageError('usage', { what });
}

/** Throws `usage` for a page of the transaction status, which has no header. */
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
 * Through a symbolic link to a file, as a shell does; one that leads nowhere is replaced. A device or
 * a FIFO takes the bytes as they come.
 */
async function writePage(out: string, page: Uint8Array, signal: AbortSignal): Promise<void> {
  const there = await lookUp(out);
  if (there?.isFile()) {
    await overwriteFile(await realPathOf(out), page, { signal, preserve: await preserved() });
  } else if (there === undefined || there.isDirectory()) {
    await overwriteFile(out, page, { signal });
  } else {
    await onFile('write file', out, writeFile(out, page, { signal }));
  }
}

async function lookUp(path: string): Promise<Stats | undefined> {
  try {
    return await onFile('look up file', path, stat(path));
  } catch (error) {
    if (isStorageError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function onFile<T>(action: string, path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw fromNodeError(action, path, error);
  }
}

/** Bytes that Neon keeps behind a page of the transaction status: a timestamp. */
const CLOG_TIMESTAMP_SIZE = 8;

/** Throws `needs-redo` for a record, `out-of-range` for an image that is no page. */
function pageOf(read: ReadEntry, file: string): Uint8Array {
  const { entry, value } = read;
  const where = {
    path: file,
    offset: entry.offset,
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
  };
  if (value !== undefined && value.type !== 'image') {
    throw new StorageError('needs-redo', {
      ...where,
      what: 'the newest entry is no image: Postgres would have to replay WAL',
      expected: 'type image',
      actual: entryType(read),
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
    what: 'the image is no page',
    expected: `${PAGE_SIZE} bytes`,
    actual: `${image.length}`,
  });
}
