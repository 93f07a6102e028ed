/** Nodes of an index that are expected to decode. */
import { isStorageError } from '../../src/errors.ts';
import { decodeNode } from '../../src/layers/disk-btree/decode-node.ts';
import type { IndexNode } from '../../src/layers/disk-btree/index-node.ts';

/** Throws the error of a block that does not decode. */
export function decodedNode(
  bytes: Uint8Array,
  block: number,
  keySize: number,
  fileOffset: number,
): IndexNode {
  const node = decodeNode(bytes, { block, keySize, fileOffset });
  if (isStorageError(node)) throw node;
  return node;
}
