/**
 * Summary: the start of the first block of a layer file. The rest of the block is zero.
 *
 *   0   2   magic: 0x5A61 a delta layer, 0x5A60 an image layer
 *   2   2   format version, 3
 *   4   16  tenant id
 *   20  16  timeline id
 *   36  18  first key
 *   54  18  end key, exclusive
 *
 *   delta layer                              image layer
 *   72  8   start LSN                        72  8   LSN
 *   80  8   end LSN, exclusive               80  4   block where the index starts
 *   88  4   block where the index starts     84  4   root block of the index
 *   92  4   root block of the index
 *
 * The root block counts from the start of the index. All integers are big-endian.
 * Source: Neon pageserver/src/tenant/storage_layer/delta_layer.rs, image_layer.rs.
 */
import { corrupt, StorageError, withPath } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { formatIdentifier, parseIdentifier } from '../identifier.ts';
import { compareKeys, KEY_SIZE, type KeyRange } from '../key.ts';
import { formatLsn, type Lsn, type LsnRange } from '../lsn.ts';

export const DELTA_MAGIC = 0x5a61;
export const IMAGE_MAGIC = 0x5a60;
export const STORAGE_FORMAT_VERSION = 3;

/** What the summaries of both kinds have. */
export interface SummaryBase {
  /** 3. */
  readonly formatVersion: number;
  /** 32 lower-case hex digits. */
  readonly tenantId: string;
  /** 32 lower-case hex digits. */
  readonly timelineId: string;
  /** Keys of the layer. */
  readonly keyRange: KeyRange;
  /** Block of the file where the index starts. */
  readonly indexStartBlock: number;
  /** Relative to `indexStartBlock`. */
  readonly indexRootBlock: number;
}

/** The summary of a delta layer. */
export interface DeltaSummary extends SummaryBase {
  /** Tells the two kinds apart. */
  readonly kind: 'delta';
  /** LSNs of the layer. */
  readonly lsnRange: LsnRange;
}

/** The summary of an image layer. */
export interface ImageSummary extends SummaryBase {
  /** Tells the two kinds apart. */
  readonly kind: 'image';
  /** The LSN of all images. */
  readonly lsn: Lsn;
}

/** The summary of a layer of either kind. */
export type LayerSummary = DeltaSummary | ImageSummary;
export type LayerKind = LayerSummary['kind'];

/** Name and place of one field of the summary. */
export interface SummaryField {
  readonly name: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly size: number;
}

const MAGIC = field('magic', 0, 2);
const FORMAT_VERSION = field('format version', 2, 2);
const TENANT_ID = field('tenant id', 4, 16);
const TIMELINE_ID = field('timeline id', 20, 16);
const FIRST_KEY = field('first key', 36, KEY_SIZE);
const END_KEY = field('end key', 54, KEY_SIZE);

const DELTA_TAIL = {
  startLsn: field('start LSN', 72, 8),
  endLsn: field('end LSN', 80, 8),
  indexStartBlock: field('index start block', 88, 4),
  indexRootBlock: field('index root block', 92, 4),
};

const IMAGE_TAIL = {
  lsn: field('LSN', 72, 8),
  indexStartBlock: field('index start block', 80, 4),
  indexRootBlock: field('index root block', 84, 4),
};

const HEAD = [MAGIC, FORMAT_VERSION, TENANT_ID, TIMELINE_ID, FIRST_KEY, END_KEY];

/** The fields of a summary in the order of their offsets, without gaps. */
export const SUMMARY_FIELDS: Readonly<Record<LayerKind, readonly SummaryField[]>> = {
  delta: [...HEAD, ...Object.values(DELTA_TAIL)],
  image: [...HEAD, ...Object.values(IMAGE_TAIL)],
};

/** Bytes of the summary in block 0; the rest of the block should be zero. */
export function summarySize(kind: LayerKind): number {
  const { indexRootBlock } = kind === 'delta' ? DELTA_TAIL : IMAGE_TAIL;
  return indexRootBlock.offset + indexRootBlock.size;
}

/** Returns: the complete block 0; a new array. */
export function encodeSummary(summary: LayerSummary): Uint8Array {
  const block = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(block.buffer);
  view.setUint16(MAGIC.offset, summary.kind === 'delta' ? DELTA_MAGIC : IMAGE_MAGIC);
  view.setUint16(FORMAT_VERSION.offset, summary.formatVersion);
  block.set(parseIdentifier(summary.tenantId, 'tenant id'), TENANT_ID.offset);
  block.set(parseIdentifier(summary.timelineId, 'timeline id'), TIMELINE_ID.offset);
  block.set(summary.keyRange.start, FIRST_KEY.offset);
  block.set(summary.keyRange.end, END_KEY.offset);
  if (summary.kind === 'delta') {
    view.setBigUint64(DELTA_TAIL.startLsn.offset, summary.lsnRange.start);
    view.setBigUint64(DELTA_TAIL.endLsn.offset, summary.lsnRange.end);
    view.setUint32(DELTA_TAIL.indexStartBlock.offset, summary.indexStartBlock);
    view.setUint32(DELTA_TAIL.indexRootBlock.offset, summary.indexRootBlock);
  } else {
    view.setBigUint64(IMAGE_TAIL.lsn.offset, summary.lsn);
    view.setUint32(IMAGE_TAIL.indexStartBlock.offset, summary.indexStartBlock);
    view.setUint32(IMAGE_TAIL.indexRootBlock.offset, summary.indexRootBlock);
  }
  return block;
}

/**
 * Requires: the complete block 0.
 * Throws: `corrupt`, `unsupported-version`, with the offset of the field, and the path if given.
 */
export function decodeSummary(block: Uint8Array, path?: string): LayerSummary {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const magic = view.getUint16(MAGIC.offset);
  const version = view.getUint16(FORMAT_VERSION.offset);
  if (magic !== DELTA_MAGIC && magic !== IMAGE_MAGIC) {
    throw new StorageError('corrupt', {
      what: 'magic of the summary',
      path,
      offset: MAGIC.offset,
      expected: `0x${DELTA_MAGIC.toString(16)} (delta) or 0x${IMAGE_MAGIC.toString(16)} (image)`,
      actual: `0x${magic.toString(16).padStart(4, '0')}`,
    });
  }
  if (version !== STORAGE_FORMAT_VERSION) {
    throw new StorageError('unsupported-version', {
      what: 'format version of the layer',
      path,
      offset: FORMAT_VERSION.offset,
      expected: `${STORAGE_FORMAT_VERSION}`,
      actual: `${version}`,
    });
  }
  try {
    return magic === DELTA_MAGIC ? decodeDelta(block, view) : decodeImage(block, view);
  } catch (error) {
    throw withPath(error, path);
  }
}

function decodeDelta(block: Uint8Array, view: DataView): DeltaSummary {
  const { startLsn, endLsn } = DELTA_TAIL;
  const start = view.getBigUint64(startLsn.offset);
  const end = view.getBigUint64(endLsn.offset);
  const summary: DeltaSummary = {
    kind: 'delta',
    ...decodeBase(block, view, DELTA_TAIL),
    lsnRange: { start, end },
  };
  if (start >= end) {
    const actual = `${formatLsn(start)}-${formatLsn(end)}`;
    throw corrupt('LSN range of the summary', startLsn.offset, 'start below end', actual);
  }
  if (compareKeys(summary.keyRange.start, summary.keyRange.end) >= 0) {
    throw new StorageError('corrupt', {
      what: 'key range of the summary',
      offset: FIRST_KEY.offset,
      expected: 'start below end',
    });
  }
  return summary;
}

/** Like Neon, does not compare the two keys of an image layer. */
function decodeImage(block: Uint8Array, view: DataView): ImageSummary {
  const lsn = view.getBigUint64(IMAGE_TAIL.lsn.offset);
  return { kind: 'image', ...decodeBase(block, view, IMAGE_TAIL), lsn };
}

function decodeBase(
  block: Uint8Array,
  view: DataView,
  tail: Pick<typeof DELTA_TAIL, 'indexStartBlock' | 'indexRootBlock'>,
): SummaryBase {
  const keyAt = ({ offset, size }: SummaryField) => block.slice(offset, offset + size);
  return {
    formatVersion: view.getUint16(FORMAT_VERSION.offset),
    tenantId: formatIdentifier(block, TENANT_ID.offset),
    timelineId: formatIdentifier(block, TIMELINE_ID.offset),
    keyRange: { start: keyAt(FIRST_KEY), end: keyAt(END_KEY) },
    indexStartBlock: view.getUint32(tail.indexStartBlock.offset),
    indexRootBlock: view.getUint32(tail.indexRootBlock.offset),
  };
}

function field(name: string, offset: number, size: number): SummaryField {
  return { name, offset, size };
}
