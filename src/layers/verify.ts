/**
 * Checks every block and every blob of a layer.
 *
 * An error means that a value cannot be read, or that a read could be wrong. A warning means that
 * Neon's writer would not write this, though its reader accepts it.
 */

import { SHORT_BLOB_LIMIT } from '../blob-writer/blob-format.ts';
import { type ByteSource, fileSource, readExactly } from '../blob-writer/byte-source.ts';
import { checkLimit, type KnownOptions } from '../check-options.ts';
import { isStorageError, type StorageError, throwIfAborted } from '../errors.ts';
import { type OnProgress, tellProgress } from '../progress.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import { isDamage } from './damage.ts';
import type { SkippedBlocks } from './disk-btree/block-listing.ts';
import { BlockSet } from './disk-btree/block-set.ts';
import { Findings, type LayerReport } from './findings.ts';
import { fitsPageserver, KEY_SIZE, unfitKeyError } from './key.ts';
import type { EntryBatch } from './layer-file/entry-batch.ts';
import { EntryCursor } from './layer-file/entry-cursor.ts';
import type { LargeEntry } from './layer-file/entry-scan.ts';
import { readLargeValue } from './layer-file/large-value.ts';
import { type LayerInput, pathOrSource } from './layer-file/layer-input.ts';
import { LayerReader } from './layer-file/layer-reader.ts';
import {
  checkReadOptions,
  nameError,
  READ_OPTIONS,
  type ReadOptions,
} from './layer-file/open-file.ts';
import { locateValueError } from './layer-file/salvage.ts';
import { readSummaryBlock } from './layer-file/summary.ts';
import { decodeSummary, type LayerSummary, summarySize } from './layer-file/summary-format.ts';
import { formatLsn } from './lsn.ts';
import { type InspectValue, inspectBatch } from './value-inspection.ts';
import { usualOutline, type ValueOutline } from './value-outline.ts';

/** Options of `verifyLayer`. */
export interface VerifyOptions extends ReadOptions {
  /** Findings that are listed; default 1,000. */
  readonly maximumFindings?: number | undefined;
  /** Called for every value that could be read, except values larger than 1 MiB. */
  readonly inspectValue?: InspectValue | undefined;
  /** Ends the verification with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes that are done, and the size of the file. */
  readonly onProgress?: OnProgress | undefined;
}

const VERIFY_OPTIONS: KnownOptions<VerifyOptions> = {
  ...READ_OPTIONS,
  maximumFindings: true,
  inspectValue: 'function',
  onProgress: 'function',
};

const DEFAULT_MAXIMUM_FINDINGS = 1000;

/**
 * Verifies one layer. Uses a few MiB of memory, whatever the file is. A signal ends its waits.
 *
 * @param input A path, or any source of the bytes of a layer file.
 * @returns The findings; damage is never thrown.
 * @throws `not-found`, `io` and `aborted`, which prevent the verification; `invalid-input`.
 *
 * @example
 * const report = await verifyLayer(path);
 * if (!report.ok) throw new Error(report.findings[0]?.message);
 */
export async function verifyLayer(
  input: LayerInput,
  options: VerifyOptions = {},
): Promise<LayerReport> {
  checkReadOptions(options, VERIFY_OPTIONS);
  checkLimit('limit: number of findings', options.maximumFindings);
  const from = pathOrSource(input);
  if (typeof from !== 'string') return verifyNamed(from, from.path ?? 'layer', options);
  const { openFiles, ioMode, signal } = options;
  const file = await VirtualFile.open(from, {
    read: true,
    content: 'immutable',
    openFiles,
    ioMode,
    signal,
  });
  try {
    return await verifyNamed(await fileSource(file), from, options);
  } finally {
    await file.close();
  }
}

async function verifyNamed(
  source: ByteSource,
  path: string,
  options: VerifyOptions,
): Promise<LayerReport> {
  const findings = new Findings(path, options.maximumFindings ?? DEFAULT_MAXIMUM_FINDINGS);
  const entries = await collect(findings, 0, () => verifySource(source, findings, options));
  return findings.report(entries ?? 0, source.size);
}

async function verifySource(
  source: ByteSource,
  findings: Findings,
  options: VerifyOptions,
): Promise<number> {
  const { nameCheck = 'strict', signal } = options;
  throwIfAborted(signal, source.path);
  const block = await readSummaryBlock(source);
  const summary = decodeSummary(block, source.path);
  verifySummaryPadding(block, summary, findings);
  const mismatch = nameCheck === 'strict' ? nameError(summary, findings.path) : undefined;
  if (mismatch !== undefined) findings.add(mismatch, 0);
  const opened = { source, summary, close: async () => {} };
  const reader = new LayerReader(opened, { ...options, blockCache: null });
  const state = new ValuesState(reader, source, findings, options);
  await collect(findings, summary.indexStartBlock * BLOCK_SIZE, async () => {
    await verifyIndexBlocks(reader, findings, signal);
    await verifyEntries(state);
  });
  return state.entryCount;
}

function verifySummaryPadding(block: Uint8Array, summary: LayerSummary, findings: Findings): void {
  const nonZero = firstNonZero(block, summarySize(summary.kind));
  if (nonZero >= 0) findings.warn('padding of the summary block is not zero', nonZero);
}

/** Checks the padding of blocks, for unreachable blocks, and for bytes after the last one. */
async function verifyIndexBlocks(
  reader: LayerReader,
  findings: Findings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { indexStartBlock, indexRootBlock } = reader.summary;
  const offsetOf = (block: number) => (indexStartBlock + block) * BLOCK_SIZE;
  const end = offsetOf(indexRootBlock + 1);
  const children = new BlockSet();
  const undecodable = new BlockSet();
  let skipped: SkippedBlocks | undefined;
  children.add(indexRootBlock);
  for await (const node of reader.index.blocks()) {
    throwIfAborted(signal, findings.path);
    if ('error' in node) {
      if ('blockCount' in node) {
        findings.add(node.error, offsetOf(node.block));
        skipped = node;
      } else {
        undecodable.add(node.block);
      }
      continue;
    }
    const nonZero = firstNonZero(node.bytes, node.usedSize);
    if (nonZero >= 0) {
      findings.warn('padding of an index block is not zero', offsetOf(node.block) + nonZero);
    }
    for (let index = 0; node.level > 0 && index < node.entryCount; index += 1) {
      children.add(node.childBlock(index));
    }
  }
  // The children of a damaged block are not known.
  const isKnown = !undecodable.meets(children);
  for (let block = 0; isKnown && block <= indexRootBlock; block += 1) {
    if (block === skipped?.block) block += skipped.blockCount;
    if (!children.has(block)) findings.warn('unreachable index block', offsetOf(block));
  }
  if (reader.size > end) {
    findings.warn(`${reader.size - end} bytes after the last index block`, end);
  }
}

class ValuesState {
  readonly reader: LayerReader;
  readonly source: ByteSource;
  readonly findings: Findings;
  readonly options: VerifyOptions;
  entryCount = 0;
  /** End of the last valid blob. */
  blobsEnd = BLOCK_SIZE;
  /** False if damage has made the end of the last blob unknown; then gaps mean nothing. */
  isEndKnown = true;

  constructor(reader: LayerReader, source: ByteSource, findings: Findings, options: VerifyOptions) {
    this.reader = reader;
    this.source = source;
    this.findings = findings;
    this.options = options;
  }

  warn(message: string, { offset, key, lsn }: EntryFacts): void {
    this.findings.warn(message, offset, key, lsn);
  }
}

async function verifyEntries(state: ValuesState): Promise<void> {
  const { reader, findings, options } = state;
  for await (const item of reader.salvageStreamed({ signal: options.signal })) {
    // The scan checks the signal once per leaf, which may lead to hundreds of MiB.
    throwIfAborted(options.signal, findings.path);
    if (item.kind === 'batch') verifyBatch(item.batch, state);
    else if (item.kind === 'large-entry') await verifyLargeEntry(item, state);
    else if (item.kind === 'damaged-entry') addDamage(item.error, item.offset, state);
    else if (item.kind === 'damaged-block') {
      addDamage(item.error, (reader.summary.indexStartBlock + item.block) * BLOCK_SIZE, state);
    }
    tellProgress(options.onProgress, state.blobsEnd, reader.size);
  }
  await verifyPadding(state);
  tellProgress(options.onProgress, reader.size, reader.size);
}

function addDamage(error: StorageError, offset: number, state: ValuesState): void {
  state.findings.add(error, offset);
  state.isEndKnown = false;
}

function verifyBatch(batch: EntryBatch, state: ValuesState): void {
  const { kind } = state.reader.summary;
  const { findings, options } = state;
  const inspect = options.inspectValue;
  if (inspect !== undefined) inspectBatch(batch, kind, { inspect, findings });
  for (const row = new EntryCursor(batch); ; row.index += 1) {
    row.index = skipValidRows(batch, row.index, state);
    if (row.isDone) return;
    verifyPlace(row, row.contentLength, state);
    if (kind === 'delta') verifyRowValue(row, state);
  }
}

/**
 * Counts uncompressed rows from `from` on as long as they are valid, as nearly all rows are. Returns:
 * the first row that must be checked by itself, or the count.
 */
function skipValidRows(batch: EntryBatch, from: number, state: ValuesState): number {
  if (!state.isEndKnown) return from;
  const { buffer, count, keys, offsets, storedLengths, starts, lengths, compressed } = batch;
  const marks = state.reader.summary.kind === 'delta' ? batch.willInit : undefined;
  let end = state.blobsEnd;
  let index = from;
  for (; index < count; index += 1) {
    const length = lengths[index] as number;
    const storedLength = storedLengths[index] as number;
    if (offsets[index] !== end || compressed[index] === 1) break;
    if (!fitsPageserver(keys, index * KEY_SIZE)) break;
    if (length < SHORT_BLOB_LIMIT && storedLength > length + 1) break;
    if (marks !== undefined) {
      const outline = usualOutline(buffer, starts[index] as number, length);
      if (outline === undefined || outline.willInit !== (marks[index] === 1)) break;
    }
    end += storedLength;
  }
  state.blobsEnd = end;
  state.entryCount += index - from;
  return index;
}

function verifyRowValue(row: EntryCursor, state: ValuesState): void {
  try {
    verifyWillInit(row, row.outline(), state);
  } catch (error) {
    addValueDamage(row, row.contentLength, error, state);
  }
}

async function verifyLargeEntry(entry: LargeEntry, state: ValuesState): Promise<void> {
  if (state.reader.summary.kind === 'image') {
    const length = await entry.stream(() => {});
    if (typeof length === 'number') verifyPlace(entry, length, state);
    else addDamage(length.error, length.offset, state);
    return;
  }
  const value = await readLargeValue(entry);
  if (value.kind !== 'value') {
    addDamage(value.error, value.offset, state);
    return;
  }
  const { length, outline } = value;
  verifyPlace(entry, length, state);
  if (isStorageError(outline)) addValueDamage(entry, length, outline, state);
  else verifyWillInit(entry, outline, state);
}

/** What a cursor and a large entry have in common. */
type EntryFacts = Omit<LargeEntry, 'kind' | 'stream'>;

function verifyPlace(entry: EntryFacts, contentLength: number, state: ValuesState): void {
  const { offset, storedLength, headerSize } = entry;
  state.entryCount += 1;
  if (!fitsPageserver(entry.key)) {
    const lsn = formatLsn(entry.lsn);
    state.findings.add(unfitKeyError(entry.key, 0, { offset, lsn }), offset);
  }
  if (state.isEndKnown && offset > state.blobsEnd) {
    state.warn(`gap of ${offset - state.blobsEnd} bytes before the blob`, entry);
  }
  state.blobsEnd = offset + storedLength;
  state.isEndKnown = true;
  if (headerSize > 1 && contentLength < SHORT_BLOB_LIMIT) {
    state.warn(`4-byte header of a blob of ${contentLength} bytes`, entry);
  }
}

function verifyWillInit(entry: EntryFacts, { willInit }: ValueOutline, state: ValuesState): void {
  if (willInit === entry.willInit) return;
  state.warn(`willInit is ${!willInit} in the index, ${willInit} in the value`, entry);
}

/** Rethrows an error that is not damage. */
function addValueDamage(
  entry: EntryFacts,
  contentLength: number,
  error: unknown,
  { findings }: ValuesState,
): void {
  if (!isStorageError(error)) throw error;
  const { key, lsn, offset, storedLength, compressed } = entry;
  const bytes = { length: contentLength };
  const located = { key, lsn, offset, storedLength, compressed, bytes };
  findings.add(locateValueError(error, located, findings.path), offset);
}

/** Between the last blob and the index lies less than a block, of zeros. */
async function verifyPadding(state: ValuesState): Promise<void> {
  const { findings, reader, source } = state;
  if (!state.isEndKnown || state.entryCount === 0) return;
  const indexStart = reader.blobs.region.end;
  const length = indexStart - state.blobsEnd;
  // The summary gives a wrong location of the index, which is a finding of its own.
  if (length < 0) return;
  if (length >= BLOCK_SIZE) {
    findings.warn(`gap of ${length} bytes before the index`, state.blobsEnd);
  }
  const padding = new Uint8Array(Math.min(length, BLOCK_SIZE));
  await readExactly(source, padding, state.blobsEnd);
  const nonZero = firstNonZero(padding, 0);
  if (nonZero >= 0) {
    findings.warn('padding of the values is not zero', state.blobsEnd + nonZero);
  }
}

/** Turns damage into a finding, and rethrows any other error. */
async function collect<T>(
  findings: Findings,
  offset: number,
  look: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (!isDamage(error)) throw error;
    findings.add(error, offset);
    return undefined;
  }
}

/** Index of the first non-zero byte at or after `from`, in at most a block; -1 if there is none. */
function firstNonZero(bytes: Uint8Array, from: number): number {
  const part = bytes.subarray(from);
  if (Buffer.compare(part, ZEROS.subarray(0, part.length)) === 0) return -1;
  return from + part.findIndex((byte) => byte !== 0);
}

const ZEROS = new Uint8Array(BLOCK_SIZE);
