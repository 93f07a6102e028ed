/** `export page`: the bytes of one page image. */
import type { Stats } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { fromNodeError } from '../../virtual-file/system-error.ts';
import { overwriteFile } from '../../write-once/overwrite.ts';
import type { Context } from '../context.ts';
import { entryType, type ReadEntry } from '../entry-json.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { parseKeyWords } from '../key-words.ts';
import { openForReading, type ReadLimits, warnOfName } from '../open-layer.ts';
import { notFoundError, readEntry } from '../read-entry.ts';
import { realPathOf } from '../real-path.ts';
import { refuseTerminal } from '../refuse-terminal.ts';

export interface ExportPageOptions extends ReadLimits {
  readonly file: string;
  readonly key: readonly string[];
  readonly lsn: Lsn | undefined;
  /** A file; standard output where undefined. */
  readonly out: string | undefined;
}

export async function exportPage(
  context: Context,
  { file, key: words, lsn, out, ...limits }: ExportPageOptions,
): Promise<ExitStatus> {
  const key = parseKeyWords(words);
  if (out === undefined) refuseTerminal(context.stdout);
  await using reader = await openForReading(file, limits);
  const read = await readEntry(reader, { key, lsn });
  if (read === undefined) {
    context.reporter.error(notFoundError(file, { key, lsn }));
    return FINDINGS;
  }
  const page = pageOf(read, file);
  warnOfName(context, { file, reader });
  if (out === undefined) await context.stdout.writeBytes(page);
  else await writePage(out, page, context.signal);
  return CLEAN;
}

/**
 * Through a symbolic link to a file, as a shell does; one that leads nowhere is replaced. A device or
 * a FIFO takes the bytes as they come.
 */
async function writePage(out: string, page: Uint8Array, signal: AbortSignal): Promise<void> {
  const there = await lookUp(out);
  if (there?.isFile()) {
    await overwriteFile(await realPathOf(out), page, { signal });
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
