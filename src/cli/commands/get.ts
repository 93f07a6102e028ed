/** `get`: the newest entry of a key at or before an LSN. */
import { formatKey, type Key } from '../../layers/key.ts';
import { formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import type { Context, Format } from '../context.ts';
import { MAXIMUM_FIELDS_LENGTH, writeEntryFields } from '../entry-fields.ts';
import { contentPieces, entryType, type ReadEntry, shownEntry } from '../entry-json.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { writeHexDump } from '../hex-dump.ts';
import { formatCount, formatSize } from '../human.ts';
import { parseKeyWords } from '../key-words.ts';
import { openForReading, type ReadLimits, warnOfName } from '../open-layer.ts';
import { pageProperties } from '../page-header.ts';
import { notFoundError, readEntry } from '../read-entry.ts';
import { refuseTerminal } from '../refuse-terminal.ts';
import { writeProperties } from '../table.ts';
import { valuePieces } from '../value-json.ts';

export interface GetOptions extends ReadLimits {
  readonly file: string;
  readonly key: readonly string[];
  readonly lsn: Lsn | undefined;
  readonly format: Format | 'raw';
}

export async function get(context: Context, options: GetOptions): Promise<ExitStatus> {
  const { file, lsn, format } = options;
  const key = parseKeyWords(options.key);
  if (format === 'raw') refuseTerminal(context.stdout);
  await using reader = await openForReading(file, options);
  const read = await readEntry(reader, { key, lsn });
  warnOfName(context, { file, reader });
  if (read === undefined) return reportAbsence(context, { ...options, key });
  switch (format) {
    case 'raw':
      await context.stdout.writeBytes(rawBytes(read));
      break;
    case 'people':
      await describeEntry(context, read);
      break;
    default:
      await printEntry(context, read);
  }
  return CLEAN;
}

async function printEntry({ stdout }: Context, read: ReadEntry): Promise<void> {
  const { bytes } = read.entry;
  const content = { kind: 'whole', bytes } as const;
  const shown = shownEntry(read.entry, { type: entryType(read), length: bytes.length, content });
  await stdout.write('{"found":true,');
  await stdout.writeFilled(
    MAXIMUM_FIELDS_LENGTH,
    (target, at) => writeEntryFields(target, at, shown),
    [...contentPieces(shown, 'hex'), '}\n'],
  );
}

async function reportAbsence(
  context: Context,
  { file, key, lsn, format }: { file: string; key: Key; lsn: Lsn | undefined; format: string },
): Promise<ExitStatus> {
  if (format === 'json' || format === 'ndjson') {
    await context.stdout.write('{"found":false}\n');
  } else {
    context.reporter.error(notFoundError(file, { key, lsn }));
  }
  return FINDINGS;
}

/** Of a WAL record the record itself, of every other record its serialized value. */
function rawBytes({ entry, value }: ReadEntry): Uint8Array {
  return value?.type === 'image' || value?.type === 'wal' ? value.bytes : entry.bytes;
}

/** Of an image of a block, what its header says. */
function pageHeader(read: ReadEntry): (readonly [string, string])[] {
  const meaning = describeKey(read.entry.key);
  const page = rawBytes(read);
  const isPage = entryType(read) === 'image' && page.length === PAGE_SIZE;
  if (meaning.kind !== 'rel_block' || !isPage) return [];
  return pageProperties({ page, blockNumber: meaning.blkno });
}

async function describeEntry({ stdout }: Context, read: ReadEntry): Promise<void> {
  const { entry, value } = read;
  const { storedLength, bytes, compressed } = entry;
  await writeProperties(stdout, [
    ['key', `${formatKey(entry.key)}  ${explainKey(entry.key)}`],
    ['LSN', formatPgLsn(entry.lsn)],
    ['type', `${entryType(read)}${entry.willInit ? ', needs nothing older' : ''}`],
    ['offset', formatCount(entry.offset)],
    ['length', formatSize(bytes.length)],
    ['stored', `${formatSize(storedLength)}, ${compressed ? 'zstd' : 'not compressed'}`],
    ...pageHeader({ entry, value }),
  ]);
  if (value === undefined || value.type === 'image' || value.type === 'wal') {
    await writeHexDump(stdout, rawBytes(read));
    return;
  }
  await stdout.writePieces([...valuePieces(value), '\n']);
}
