/** Describes the blocks of an index, one by one, for tools. */
import type { BlobRegion } from '../../blob-writer/blob-location.ts';
import type { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import type { DiskBtreeReader } from '../disk-btree/reader.ts';
import { KEY_SIZE, type Key } from '../key.ts';
import type { Lsn } from '../lsn.ts';
import type { EntryLayout } from './entry-layout.ts';

/** A block of an index. */
export type IndexBlock =
  | {
      readonly kind: 'node';
      /** Number of the block, relative to the start of the index. */
      readonly block: number;
      /** 0 for a leaf. */
      readonly level: number;
      /** Number of entries. */
      readonly entryCount: number;
      /** Bytes that all keys of the block share. */
      readonly prefixLength: number;
      /** Bytes of each key after the prefix. */
      readonly suffixLength: number;
      /** Key of the first entry. */
      readonly firstKey: Key;
      /** Key of the last entry. */
      readonly lastKey: Key;
      /** Delta layers only. */
      readonly firstLsn?: Lsn;
      /** LSN of the last entry; delta layers only. */
      readonly lastLsn?: Lsn;
    }
  | {
      readonly kind: 'damaged';
      /** Number of the block, relative to the start of the index. */
      readonly block: number;
      /** Number of blocks in a run that was not examined; `block` is the first. */
      readonly blockCount?: number;
      /** Why the block cannot be decoded. */
      readonly error: StorageError;
    };

export async function* describeIndex(
  index: DiskBtreeReader,
  layout: EntryLayout,
): AsyncGenerator<IndexBlock> {
  for await (const block of index.blocks()) {
    if ('error' in block) yield { kind: 'damaged', ...block };
    else yield describeNode(block, layout);
  }
}

export function describeNode(node: IndexNode, layout: EntryLayout): IndexBlock {
  const last = node.entryCount - 1;
  const lsns = { firstLsn: layout.lsn(node, 0), lastLsn: layout.lsn(node, last) };
  return {
    kind: 'node',
    block: node.block,
    level: node.level,
    entryCount: node.entryCount,
    prefixLength: node.prefixLength,
    suffixLength: node.suffixLength,
    firstKey: node.keyBegin(0, KEY_SIZE),
    lastKey: node.keyBegin(last, KEY_SIZE),
    ...(layout.keySize > KEY_SIZE ? lsns : {}),
  };
}

/** Counts and sizes of a layer. */
export interface LayerStatistics {
  /** Number of entries. */
  readonly entryCount: number;
  /** Number of index blocks. */
  readonly indexBlockCount: number;
  /** Levels of the index; 1 if the root is a leaf. */
  readonly levelCount: number;
  /** Bytes of the values, including their padding. */
  readonly valuesSize: number;
  /** Bytes of the index. */
  readonly indexSize: number;
}

/** Throws the first damage. Requires: at least one block, the root last. */
export async function statisticsOf(
  blocks: AsyncIterable<IndexBlock>,
  values: BlobRegion,
): Promise<LayerStatistics> {
  let entryCount = 0;
  let indexBlockCount = 0;
  let levelCount = 1;
  for await (const block of blocks) {
    if (block.kind === 'damaged') throw block.error;
    if (block.level === 0) entryCount += block.entryCount;
    indexBlockCount += 1;
    levelCount = Math.max(levelCount, block.level + 1);
  }
  const valuesSize = values.end - values.start;
  return {
    entryCount,
    indexBlockCount,
    levelCount,
    valuesSize,
    indexSize: indexBlockCount * BLOCK_SIZE,
  };
}
