/** Decodes an index block, and checks its structure, except the order of keys. */
import { type StorageError, untracedError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { IndexNode } from './index-node.ts';
import { NODE_VALUE_SIZE } from './node-format.ts';

export interface NodePlace {
  readonly block: number;
  readonly keySize: number;
  /** Of the block. */
  readonly fileOffset: number;
  /** Whether some values, though not all, may be of the other kind; default `refused`. */
  readonly foreignValues?: 'refused' | 'accepted' | undefined;
}

/**
 * Decodes one block.
 *
 * Requires: `bytes` is a complete block.
 * Returns: a view of the bytes; or `corrupt`, without a stack, with the offset of the field.
 */
export function decodeNode(bytes: Uint8Array, place: NodePlace): IndexNode | StorageError {
  const { block, keySize, fileOffset, foreignValues } = place;
  const node = new IndexNode(bytes, block);
  const { entryCount, prefixLength, suffixLength } = node;
  const damage = (what: string, at: number, expected: string, actual: string) =>
    untracedError('corrupt', {
      what: `${what} of index block ${block}`,
      offset: fileOffset + at,
      expected,
      actual,
    });
  if (entryCount === 0) return damage('entry count', 0, 'at least 1', '0');
  if (prefixLength + suffixLength !== keySize) {
    const actual = `${prefixLength} + ${suffixLength}`;
    return damage('prefix and suffix length', 3, `${keySize} together`, actual);
  }
  if (suffixLength === 0 && entryCount > 1) {
    return damage('suffix length', 4, `more than 0 for ${entryCount} entries`, '0');
  }
  if (node.usedSize > BLOCK_SIZE) {
    const actual = `${entryCount} entries of ${suffixLength + NODE_VALUE_SIZE} bytes`;
    return damage('entry count', 0, `at most ${BLOCK_SIZE} bytes`, actual);
  }
  const foreign = node.firstForeignValue();
  if (foreign < 0 || (foreignValues === 'accepted' && hasOwnValue(node))) return node;
  return foreignValueError(node, foreign, fileOffset);
}

/** The error of a value that is not of its node's kind. */
export function foreignValueError(
  node: IndexNode,
  index: number,
  fileOffset: number,
): StorageError {
  const at = node.usedSize - (node.entryCount - index) * NODE_VALUE_SIZE;
  return untracedError('corrupt', {
    what: `entry ${index} of index block ${node.block}`,
    offset: fileOffset + at,
    expected: node.level === 0 ? 'a value below 0x80' : 'a block number, 0x80',
    actual: `0x${(node.bytes[at] as number).toString(16)}`,
  });
}

function hasOwnValue(node: IndexNode): boolean {
  for (let index = 0; index < node.entryCount; index += 1) {
    if (!node.isForeignValue(index)) return true;
  }
  return false;
}
