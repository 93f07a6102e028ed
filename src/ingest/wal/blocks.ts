/**
 * Puts the blocks that a record names. The value of each is the whole record, even if the record has several blocks or
 * images; only an uncompressed page image in a record that holds nothing else (XLOG FPI, FPI_FOR_HINT) is put as an
 * image.
 *
 * A block after the end of its fork extends the fork. Missing blocks before it become zero pages, except those that the
 * same record writes. The values of the record are then in the order of their keys.
 */
import { corrupt, tooLarge } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import { forkOfNumber } from '../../postgres/fork.ts';
import { MAXIMUM_BLOCK_NUMBER, relationBlockKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE, setPageLsn } from '../../postgres/page.ts';
import { restoreBlockImageSync } from '../../wal/block-image.ts';
import type { BlockImage, BlockReference, WalRecord } from '../../wal/record-format.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { checkFork, extendFork, type ForkNumbers } from './relations.ts';

/** Puts the blocks of a record on this shard. */
export function* putBlocks(state: IngestState, record: WalRecord, bytes: Uint8Array): Asking<void> {
  const own: OwnBlock[] = [];
  const gaps: Gap[] = [];
  let missing = 0;
  for (const block of record.blocks) {
    const key = keyOf(block, block.blkno);
    const isOwn = state.owns(key);
    if (isOwn) own.push({ key, block });
    else if (!state.isFirstShard) continue;
    const first = yield* extendFork(state, block, block.blkno);
    missing += block.blkno - first;
    if (missing > state.maximumGap) {
      const what = `gap before block ${block.blkno}`;
      throw tooLarge(what, { maximum: state.maximumGap, unit: 'blocks', actual: missing });
    }
    if (first < block.blkno) gaps.push({ fork: block, first, end: block.blkno });
  }
  const blocks = gaps.length === 0 ? own : withGaps(state, own, gaps);
  for (const { key, block } of blocks) {
    putBlock(state, key, { block, record, bytes });
    if (state.isCrowded) yield* state.makeRoom();
  }
}

interface OwnBlock {
  readonly key: Key;
  /** Undefined: zeros. */
  readonly block: BlockReference | undefined;
}

/** Blocks from the first to the end, which is not missing. */
interface Gap {
  readonly fork: ForkNumbers;
  readonly first: number;
  readonly end: number;
}

function withGaps(state: IngestState, own: readonly OwnBlock[], gaps: readonly Gap[]): OwnBlock[] {
  const blocks = new Map<string, OwnBlock>();
  for (const { fork, first, end } of gaps) {
    for (let blkno = first; blkno < end; blkno += 1) {
      const key = keyOf(fork, blkno);
      if (state.owns(key)) blocks.set(formatKey(key), { key, block: undefined });
    }
  }
  for (const block of own) blocks.set(formatKey(block.key), block);
  const names = [...blocks.keys()].sort();
  return names.map((name) => blocks.get(name) as OwnBlock);
}

function putBlock(
  state: IngestState,
  key: Key,
  {
    block,
    record,
    bytes,
  }: {
    readonly block: BlockReference | undefined;
    readonly record: WalRecord;
    readonly bytes: Uint8Array;
  },
): void {
  if (block === undefined) {
    state.putValue(key, { type: 'image', bytes: new Uint8Array(PAGE_SIZE) });
  } else if (block.image !== undefined && isPageImage(record, block.image)) {
    const page = restoreBlockImageSync(block.image, undefined);
    setPageLsn(page, state.lsn);
    state.putValue(key, { type: 'image', bytes: page });
  } else {
    state.putRecord(key, block.willInit || block.image?.apply === true, bytes);
  }
}

const XLOG_MANAGER = 0;
const FPI_FOR_HINT = 0xa0;
const FPI = 0xb0;

/** The info byte counts as a whole: with the bit for consistency checks, a page image stays a record. */
export function isPageImageKind(resourceManager: number, info: number): boolean {
  return resourceManager === XLOG_MANAGER && (info === FPI || info === FPI_FOR_HINT);
}

function isPageImage({ resourceManager, info }: WalRecord, image: BlockImage): boolean {
  if (!isPageImageKind(resourceManager, info)) return false;
  return image.apply && image.compression === 'none' && image.bytes.length > 0;
}

function keyOf(fork: ForkNumbers, blkno: number): Key {
  checkFork(fork);
  if (blkno > MAXIMUM_BLOCK_NUMBER) {
    throw corrupt('block number', undefined, `at most ${MAXIMUM_BLOCK_NUMBER}`, `${blkno}`);
  }
  return relationBlockKey({ ...fork, fork: forkOfNumber(fork.forkNumber), blkno });
}
