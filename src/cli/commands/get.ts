/** `get`: prints the newest entry of a key at or before an LSN. */
import type { StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { rowOf } from '../../layers/layer-file/entry-cursor.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { parseKeyWords } from '../arguments.ts';
import { paint } from '../colour.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatCount, formatSize } from '../human.ts';
import { encodeJson } from '../json.ts';
import type { KeyAtLsn, ReadEntry } from '../open-layer.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { type Output, refuseTerminal } from '../output.ts';
import { pageProperties } from '../page-header.ts';
import { DIALECT, RECORD_FILTERS } from '../record-options.ts';
import { recordReading } from '../record-reading.ts';
import { AT_LSN, formatOf, OBJECT_FORMAT, READ_LIMITS } from '../shared-options.ts';
import { writeProperties } from '../table.ts';
import type { RecordReading, ValueFilter } from '../value-record.ts';

const OPTIONS = {
  ...AT_LSN,
  ...RECORD_FILTERS,
  raw: flag('--raw', 'write only the bytes: image, WAL record or serialized value').conflicts([
    'json',
    'ndjson',
  ]),
  ...OBJECT_FORMAT,
  ...READ_LIMITS,
  ...SOURCE_OPTIONS,
  dialect: DIALECT,
};
type GetOptions = OptionValues<typeof OPTIONS>;

export function addGet({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'get', OPTIONS)
    .description('Print the newest entry of a key at or before an LSN.')
    .argument('<file>', 'layer file, its s3:// or https:// URL, or a timeline as for find')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((file: string, words: string[], options: GetOptions) =>
      runner((context) => get(context, { file, words }, options)),
    );
  addExamples(command, [
    ['layerfile get FILE 000000067F00000005000040000000000007', 'a key in hex digits'],
    ['layerfile get FILE rel=1663/5/16384 blkno=7 --lsn 0/1696000', 'a key in fields'],
    ['layerfile get FILE KEY --raw > page.bin', 'the bytes'],
    ['layerfile get DIR KEY --json', 'the newest entry over all layers of a timeline'],
    ['layerfile get DIR KEY --xid 673', 'the newest WAL record of a transaction'],
  ]);
}

export async function get(
  context: Context,
  { file, words }: { file: string; words: readonly string[] },
  options: GetOptions,
): Promise<ExitStatus> {
  const { notFoundError } = await import('../open-layer.ts');
  const { isTimelineArgument } = await import('../source-place.ts');
  const filter = await filterOf(options);
  const wanted = { key: parseKeyWords(words), lsn: options.lsn, filter };
  if (options.raw) refuseTerminal(context.stdout);
  const { signal } = context;
  const isTimeline = await isTimelineArgument(file, { ...options, signal });
  const read = isTimeline
    ? await readFromTimeline(context, { file, ...wanted }, options)
    : await readFromLayer(context, { file, ...wanted }, options);
  const isJson = formatOf(options) !== 'people';
  if (read === undefined) return reportAbsence(context, isJson, notFoundError(file, wanted));
  if (options.raw) await context.stdout.writeBytes(rawBytes(read));
  else if (isJson) await printEntry(context, read);
  else await describeEntry(context, read);
  return CLEAN;
}

interface FoundEntry extends ReadEntry {
  /** Name of the layer in a timeline. */
  readonly layer?: string | undefined;
  /** How a WAL record is described; undefined if its version is not known. */
  readonly reading?: RecordReading | undefined;
}

type Wanted = KeyAtLsn & { readonly file: string };

async function filterOf(options: GetOptions): Promise<ValueFilter | undefined> {
  if (options.rmgr === undefined && options.xid === undefined) return undefined;
  const { valueFilter } = await import('../value-record.ts');
  return valueFilter(options);
}

async function readFromLayer(
  context: Context,
  { file, key, lsn, filter }: Wanted,
  options: GetOptions,
): Promise<FoundEntry | undefined> {
  const { openForReading, readEntry, warnOfName } = await import('../open-layer.ts');
  await using reader = await openForReading(file, { ...options, signal: context.signal });
  const read = await readEntry(reader, { key, lsn, filter });
  warnOfName(context, { file, reader });
  return read && { ...read, reading: await recordReading(options.pgVersion, options) };
}

/** The newest version in any layer that passes: the first result of `find`. */
async function readFromTimeline(
  context: Context,
  { file, key, lsn, filter }: Wanted,
  options: GetOptions,
): Promise<FoundEntry | undefined> {
  const { openSource } = await import('../open-source.ts');
  const { viewValue } = await import('../../layers/value-format.ts');
  await using timeline = await openSource(context, file, options);
  const lsnEnd = lsn === undefined ? undefined : lsn + 1n;
  const { signal } = context;
  const reading = await recordReading(timeline.facts.pgVersion, options);
  for await (const found of timeline.history(key, { lsnEnd, signal })) {
    const { layer, type, layerKind } = found;
    if (filter !== undefined && !filter(type, found.bytes)) continue;
    const value = layerKind === 'delta' ? viewValue(found.bytes) : undefined;
    return { entry: found, type, value, layer, reading };
  }
  return undefined;
}

async function printEntry({ stdout }: Context, read: FoundEntry): Promise<void> {
  const { contentPieces } = await import('../entry-json.ts');
  const { MAXIMUM_FIELDS_LENGTH, writeEntryFields } = await import('../entry-fields.ts');
  const { bytes } = read.entry;
  const content = { kind: 'whole', bytes } as const;
  const shown = { entry: rowOf(read.entry), type: read.type, length: bytes.length, content };
  const { recordJsonOf } = await import('../value-record.ts');
  const { layer, reading } = read;
  const record = recordJsonOf(read.type, bytes, reading);
  await stdout.write(`{"found":true,${layer === undefined ? '' : `"layer":${encodeJson(layer)},`}`);
  await stdout.writeFilled(
    MAXIMUM_FIELDS_LENGTH,
    (target, at) => writeEntryFields(target, at, shown),
    [
      ...contentPieces(shown, 'hex'),
      record === undefined ? '' : `,"record":${encodeJson(record)}`,
      '}\n',
    ],
  );
}

async function reportAbsence(
  { stdout, reporter }: Context,
  isJson: boolean,
  error: StorageError,
): Promise<ExitStatus> {
  if (isJson) await stdout.write('{"found":false}\n');
  else reporter.error(error);
  return FINDINGS;
}

/** The bytes of an image or a WAL record; the serialized value of any other record. */
function rawBytes({ entry, value }: ReadEntry): Uint8Array {
  return value?.type === 'image' || value?.type === 'wal' ? value.bytes : entry.bytes;
}

/** The page header, if the entry is the image of a block. */
function pageHeader(read: ReadEntry): (readonly [string, string])[] {
  const meaning = describeKey(read.entry.key);
  const page = rawBytes(read);
  const isPage = read.type === 'image' && page.length === PAGE_SIZE;
  if (meaning.kind !== 'rel_block' || !isPage) return [];
  return pageProperties({ page, blockNumber: meaning.blkno });
}

/** The record in words. */
async function recordProperty(
  read: FoundEntry,
): Promise<(readonly [name: string, value: string])[]> {
  const { recordTextOf } = await import('../value-record.ts');
  const { type, entry, reading } = read;
  const text = recordTextOf(type, entry.bytes, reading);
  return text === '' ? [] : [['record', text]];
}

async function describeEntry({ stdout }: Context, read: FoundEntry): Promise<void> {
  const { entry, type, value } = read;
  const { storedLength, bytes, compressed } = entry;
  await writeProperties(stdout, [
    ['key', `${formatKey(entry.key)}  ${explainKey(entry.key)}`],
    ['LSN', formatPgLsn(entry.lsn)],
    ...(read.layer === undefined ? [] : [['layer', read.layer] as const]),
    ['type', `${type}${entry.willInit ? ', independent of older entries' : ''}`],
    ['offset', formatCount(entry.offset)],
    ['length', formatSize(bytes.length)],
    ['stored', `${formatSize(storedLength)}, ${compressed ? 'zstd' : 'not compressed'}`],
    ...pageHeader(read),
    ...(await recordProperty(read)),
  ]);
  if (value === undefined || value.type === 'image' || value.type === 'wal') {
    await writeHexDump(stdout, rawBytes(read));
    return;
  }
  const { valuePieces } = await import('../value-json.ts');
  await stdout.writePieces([...valuePieces(value), '\n']);
}

const BYTES_PER_LINE = 16;
const SHOWN_LINES = 16;

/** Prints the first bytes of a value: offset, sixteen bytes, and the text in them. */
export async function writeHexDump(output: Output, bytes: Uint8Array): Promise<void> {
  const shown = Math.min(bytes.length, SHOWN_LINES * BYTES_PER_LINE);
  for (let start = 0; start < shown; start += BYTES_PER_LINE) {
    const line = bytes.subarray(start, Math.min(start + BYTES_PER_LINE, shown));
    const offset = paint(output, 'dim', start.toString(16).padStart(8, '0'));
    await output.write(`${offset}  ${digits(line)}  ${text(line)}\n`);
  }
  if (shown === bytes.length) return;
  const rest = `${formatCount(bytes.length - shown)} more bytes`;
  await output.write(`${paint(output, 'dim', `... ${rest}; --raw prints all`)}\n`);
}

function digits(line: Uint8Array): string {
  const pairs = Array.from(line, (byte) => byte.toString(16).padStart(2, '0'));
  return [pairs.slice(0, 8), pairs.slice(8)].map((half) => half.join(' ').padEnd(23)).join('  ');
}

/** Printable ASCII, and dots for other bytes. */
function text(line: Uint8Array): string {
  return Array.from(line, (byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
  ).join('');
}
