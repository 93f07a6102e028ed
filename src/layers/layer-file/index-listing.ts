/** The blocks of an index, one by one, as a tool shows them. */
import type { StorageError } from '../../errors.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import type { DiskBtreeReader } from '../disk-btree/reader.ts';
import { KEY_SIZE, type Key } from '../key.ts';
import type { Lsn } from '../lsn.ts';
import type { EntryLayout } from './entry-layout.ts';

export type IndexBlock =
  | {
      readonly kind: 'node';
      /** Number of the block, relative to the index. */
      readonly block: number;
      readonly level: number;
      readonly entryCount: number;
      readonly prefixLength: number;
      readonly suffixLength: number;
      readonly firstKey: Key;
      readonly lastKey: Key;
      /** Delta layers only. */
      readonly firstLsn?: Lsn;
      readonly lastLsn?: Lsn;
    }
  | {
      readonly kind: 'damaged';
      readonly block: number;
      /** Of a run of blocks that were not looked at, `block` being the first. */
      readonly blockCount?: number;
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
