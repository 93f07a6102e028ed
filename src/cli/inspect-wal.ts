/** `inspect` of a WAL segment: its first page, its name and its first record. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { assert } from '../assert.ts';
import { type ByteSource, readExactly } from '../blob-writer/byte-source.ts';
import { isStorageError, withPath } from '../errors.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { printable } from '../printable.ts';
import {
  decodeWalPageHeader,
  LONG_PAGE_HEADER_SIZE,
  VERSION_OF_MAGIC,
  type WalPageHeader,
} from '../wal/page-format.ts';
import { parseWalFileName, startOfWalSegment, type WalFileName } from '../wal/segment-name.ts';
import type { WalSource } from '../wal/wal-source.ts';
import { paint } from './colour.ts';
import type { Context, Format } from './context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from './exit-status.ts';
import { formatBytes, formatSize } from './human.ts';
import { encodeJson, type Json } from './json.ts';
import type { Output } from './output.ts';
import { isUrl } from './remote-source.ts';
import { shownPath } from './shown-path.ts';
import { writeProperties } from './table.ts';

/** Whether a file, or the object of a URL, is WAL: judged by its name, or else by the magic of its first page. */
export async function isWalSegment(file: string): Promise<boolean> {
  const name = namedBy(file);
  if (name !== undefined) return name.kind === 'segment' || name.kind === 'partial-segment';
  if (isUrl(file)) return false;
  try {
    if (!(await stat(file)).isFile()) return false;
  } catch {
    // Reading the file as a layer reports what is wrong with it.
    return false;
  }
  const { walFiles } = await import('../wal/wal-source.ts');
  try {
    return await withFirstFile(walFiles([file]), async (source) => {
      const magic = new Uint8Array(2);
      if (source.size < magic.length) return false;
      await readExactly(source, magic, 0);
      return VERSION_OF_MAGIC.has(((magic[1] as number) << 8) | (magic[0] as number));
    });
  } catch (error) {
    if (isStorageError(error)) return false;
    throw error;
  }
}

/** Throws `corrupt`, `truncated`, `unsupported-version` for a first page that is not valid, and as the source. */
export async function inspectWal(
  context: Context,
  { file, source, format }: { file: string; source: WalSource; format: Format },
): Promise<ExitStatus> {
  const { signal, stdout, reporter } = context;
  const { size, header } = await withFirstFile(source, async (opened) => {
    const bytes = new Uint8Array(Math.min(opened.size, LONG_PAGE_HEADER_SIZE));
    await readExactly(opened, bytes, 0);
    try {
      return { size: opened.size, header: decodeWalPageHeader(bytes) };
    } catch (error) {
      throw withPath(error, file);
    }
  });
  // Imported only now, because this function is called for every other file as well.
  const { openWal } = await import('../wal/wal-reader.ts');
  const reader = await openWal(source, { signal });
  let firstRecord: Lsn | undefined;
  for await (const batch of reader) {
    if (batch.length > 0) firstRecord = batch.startLsn(0);
    break;
  }
  const matches = nameMatches(file, header);
  const inspected = { file, size, header, firstRecord, matches };
  if (format === 'people') await describeSegment(stdout, inspected);
  else await stdout.write(`${encodeJson(segmentJson(inspected))}\n`);
  const { end } = reader;
  const isDamaged = end !== undefined && end.kind !== 'end-of-wal' && firstRecord === undefined;
  if (isDamaged && end.error !== undefined) reporter.error(end.error);
  return matches === false || isDamaged ? FINDINGS : CLEAN;
}

/** A URL may have more after its name. */
function namedBy(file: string): WalFileName | undefined {
  return parseWalFileName(basename(file.replace(/[?#].*$/s, '')));
}

interface InspectedSegment {
  readonly file: string;
  readonly size: number;
  readonly header: WalPageHeader;
  readonly firstRecord: Lsn | undefined;
  readonly matches: boolean | null;
}

/** A segment may begin with a copy of pages of the previous timeline, so its name may have a later one. */
function nameMatches(file: string, { timelineId, lsn, segment }: WalPageHeader): boolean | null {
  const name = namedBy(file);
  if (name?.kind !== 'segment' && name?.kind !== 'partial-segment') return null;
  if (segment === undefined) return false;
  return name.timelineId >= timelineId && startOfWalSegment(name, segment.segmentSize) === lsn;
}

function segmentJson({ file, size, header, firstRecord, matches }: InspectedSegment): Json {
  const { segment, lsn } = header;
  return {
    path: shownPath(file),
    kind: 'wal',
    size,
    pg_version: header.majorVersion,
    timeline: header.timelineId,
    system_identifier: segment === undefined ? undefined : String(segment.systemIdentifier),
    segment_size: segment?.segmentSize,
    lsn_start: formatLsn(lsn),
    lsn_end: segment === undefined ? undefined : formatLsn(lsn + BigInt(segment.segmentSize)),
    first_record_lsn: firstRecord === undefined ? undefined : formatLsn(firstRecord),
    name_matches: matches,
  };
}

async function describeSegment(output: Output, inspected: InspectedSegment): Promise<void> {
  const { file, size, header, firstRecord, matches } = inspected;
  const { segment, lsn } = header;
  await output.write(`${paint(output, 'bold', printable(shownPath(file)))}\n`);
  const end = segment === undefined ? undefined : lsn + BigInt(segment.segmentSize);
  await writeProperties(output, [
    ['kind', `${paint(output, 'cyan', 'WAL')} segment of Postgres ${header.majorVersion}`],
    ['size', formatSize(size)],
    ['timeline', `${header.timelineId}, on the first page`],
    [
      'LSNs',
      `${formatPgLsn(lsn)}${end === undefined ? '' : ` up to ${formatPgLsn(end)} (not included)`}`,
    ],
    [
      'cluster',
      segment === undefined ? 'unknown' : `system identifier ${segment.systemIdentifier}`,
    ],
    ['segments', segment === undefined ? 'unknown' : `of ${formatBytes(segment.segmentSize)}`],
    ['first record', firstRecord === undefined ? 'none begins here' : formatPgLsn(firstRecord)],
    ['name', describeName(output, matches)],
  ]);
}

function describeName(output: Output, matches: boolean | null): string {
  if (matches === null) return 'not the name of a segment';
  return matches
    ? paint(output, 'green', 'agrees with the first page')
    : paint(output, 'red', 'disagrees with the first page');
}

/** Opens the one file of a source for one use. */
async function withFirstFile<T>(
  source: WalSource,
  use: (opened: ByteSource) => Promise<T>,
): Promise<T> {
  const [file] = await source.list(undefined);
  assert(file !== undefined, 'a source of one file lists it');
  const opened = await file.open(undefined);
  try {
    return await use(opened.source);
  } finally {
    await opened.close();
  }
}
