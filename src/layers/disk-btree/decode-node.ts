/** Decodes an index block, and checks its structure, except the order of keys. */
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { IndexNode } from './index-node.ts';
import { NODE_VALUE_SIZE } from './node-format.ts';

/**
 * Decodes one block.
 *
 * Requires: `bytes` is a complete block at `fileOffset`.
 * Returns: a view of the bytes.
 * Throws: `corrupt`, with the offset of the field.
 */
export function decodeNode(
  bytes: Uint8Array,
  block: number,
  keySize: number,
  fileOffset: number,
): IndexNode {
  const node = decodeStructure(bytes, block, keySize, fileOffset);
  const foreign = node.firstForeignValue();
  if (foreign >= 0) throw foreignValueError(node, foreign, fileOffset);
  return node;
}

/** Like `decodeNode`, but accepts a node in which some values, though not all, are of the other kind. */
export function decodeNodeWithForeignValues(
  bytes: Uint8Array,
  block: number,
  keySize: number,
  fileOffset: number,
): IndexNode {
  const node = decodeStructure(bytes, block, keySize, fileOffset);
  for (let index = 0; index < node.entryCount; index += 1) {
    if (!node.isForeignValue(index)) return node;
  }
  throw foreignValueError(node, 0, fileOffset);
}

/** The error of a value that is not of its node's kind. */
export function foreignValueError(
  node: IndexNode,
  index: number,
  fileOffset: number,
): StorageError {
  const at = node.usedSize - (node.entryCount - index) * NODE_VALUE_SIZE;
  return new StorageError('corrupt', {
    what: `entry ${index} of index block ${node.block}`,
    offset: fileOffset + at,
    expected: node.level === 0 ? 'a value below 0x80' : 'a block number, 0x80',
    actual: `0x${(node.bytes[at] as number).toString(16)}`,
  });
}

function decodeStructure(
  bytes: Uint8Array,
  block: number,
  keySize: number,
  fileOffset: number,
): IndexNode {
  const node = new IndexNode(bytes, block);
  const { entryCount, prefixLength, suffixLength } = node;
  const corrupt = (what: string, at: number, expected: string, actual: string) =>
    new StorageError('corrupt', {
      what: `${what} of index block ${block}`,
      offset: fileOffset + at,
      expected,
      actual,
    });
  if (entryCount === 0) throw corrupt('entry count', 0, 'at least 1', '0');
  if (prefixLength + suffixLength !== keySize) {
    const actual = `${prefixLength} + ${suffixLength}`;
    throw corrupt('prefix and suffix length', 3, `${keySize} together`, actual);
  }
  if (suffixLength === 0 && entryCount > 1) {
    throw corrupt('suffix length', 4, `more than 0 for ${entryCount} entries`, '0');
  }
  if (node.usedSize > BLOCK_SIZE) {
    const actual = `${entryCount} entries of ${suffixLength + NODE_VALUE_SIZE} bytes`;
    throw corrupt('entry count', 0, `at most ${BLOCK_SIZE} bytes`, actual);
  }
  return node;
}
