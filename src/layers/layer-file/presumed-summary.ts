/**
 * Presumes a summary from a damaged first block, so that the rest of the file can be read: the kind
 * from the magic, the place of the index, or the leaves; the ranges from the block if they are ranges;
 * the LSN of an image layer from the name of the file, or else from the block.
 */
import {
  blobHeaderSizeOfFirstByte,
  MAXIMUM_BLOB_HEADER_SIZE,
} from '../../blob-writer/blob-format.ts';
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexLocation } from '../disk-btree/index-blocks.ts';
import { formatIdentifier } from '../identifier.ts';
import { compareKeys, KEY_SIZE, type KeyRange, maximumKey, minimumKey } from '../key.ts';
import { ALL_LSNS, type LsnRange } from '../lsn.ts';
import type { NamedLayer } from '../unfinished-name.ts';
import { endsWithFile, findIndex, isIndexStart } from './index-location.ts';
import {
  DELTA_MAGIC,
  IMAGE_MAGIC,
  type LayerKind,
  type LayerSummary,
  STORAGE_FORMAT_VERSION,
} from './summary-format.ts';

/**
 * Requires: `block` is the complete block 0.
 * Throws: `truncated`, `io`, `aborted`.
 */
export async function presumeSummary(
  source: ByteSource,
  block: Uint8Array,
  { name, signal }: Presumption,
): Promise<LayerSummary> {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const { kind, location } = await presumeIndex(source, view, { name, signal });
  const common = {
    formatVersion: view.getUint16(2),
    tenantId: formatIdentifier(block, 4),
    timelineId: formatIdentifier(block, 20),
    keyRange: presumedKeyRange(view, block),
    indexStartBlock: location.startBlock,
    indexRootBlock: location.rootBlock,
  };
  if (kind === 'delta') return { kind, ...common, lsnRange: presumedLsnRange(view) };
  const lsn = name?.kind === 'image' ? name.lsn : view.getBigUint64(72);
  return { kind, ...common, lsn };
}

export interface Presumption {
  /** The layer that the name of the file describes. */
  readonly name: NamedLayer | undefined;
  readonly signal: AbortSignal | undefined;
}

interface PresumedIndex {
  readonly kind: LayerKind;
  readonly location: IndexLocation;
}

async function presumeIndex(
  source: ByteSource,
  view: DataView,
  { name, signal }: Presumption,
): Promise<PresumedIndex> {
  const kinds = likelyKinds(view, name);
  for (const kind of kinds) {
    const location = claimedLocation(view, kind);
    const isRight =
      endsWithFile(source, location) && (await isIndexStart(source, location.startBlock, kind));
    if (isRight) return { kind, location };
  }
  const found = await findIndex(source, kinds, signal);
  if (found !== undefined) return found;
  const isTold = isMagic(view) || name !== undefined;
  const kind = isTold ? (kinds[0] ?? 'delta') : await kindOfFirstBlob(source);
  return { kind, location: claimedLocation(view, kind) };
}

/** Values of a delta layer start with a tag, 0 or 1. */
async function kindOfFirstBlob(source: ByteSource): Promise<LayerKind> {
  const length = Math.min(MAXIMUM_BLOB_HEADER_SIZE + TAG_SIZE, source.size - BLOCK_SIZE);
  if (length <= 0) return 'delta';
  const bytes = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE + TAG_SIZE);
  await readExactly(source, bytes.subarray(0, length), BLOCK_SIZE);
  const at = blobHeaderSizeOfFirstByte(bytes[0] as number);
  const tag = new DataView(bytes.buffer).getUint32(at);
  return tag <= 1 ? 'delta' : 'image';
}

/** Bytes of the tag at the start of a value. */
const TAG_SIZE = 4;

/** Both kinds, the likelier one first. */
function likelyKinds(view: DataView, name: NamedLayer | undefined): LayerKind[] {
  const magic = view.getUint16(0);
  const named = name?.kind ?? 'delta';
  const likely = magic === IMAGE_MAGIC ? 'image' : magic === DELTA_MAGIC ? 'delta' : named;
  return likely === 'delta' ? ['delta', 'image'] : ['image', 'delta'];
}

function claimedLocation(view: DataView, kind: LayerKind): IndexLocation {
  const at = kind === 'delta' ? 88 : 80;
  return { startBlock: view.getUint32(at), rootBlock: view.getUint32(at + 4) };
}

/** All keys, unless the block has a range, and a valid magic or version. */
function presumedKeyRange(view: DataView, block: Uint8Array): KeyRange {
  const start = block.slice(36, 36 + KEY_SIZE);
  const end = block.slice(54, 54 + KEY_SIZE);
  if (isLikeSummary(view) && compareKeys(start, end) < 0) return { start, end };
  return { start: minimumKey(), end: maximumKey() };
}

function presumedLsnRange(view: DataView): LsnRange {
  const start = view.getBigUint64(72);
  const end = view.getBigUint64(80);
  return isLikeSummary(view) && start < end ? { start, end } : ALL_LSNS;
}

function isMagic(view: DataView): boolean {
  const magic = view.getUint16(0);
  return magic === DELTA_MAGIC || magic === IMAGE_MAGIC;
}

/** Whether a block begins like a summary, so that its fields may be meant. */
export function isLikeSummary(view: DataView): boolean {
  return isMagic(view) || view.getUint16(2) === STORAGE_FORMAT_VERSION;
}
