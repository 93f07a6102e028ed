/** Index nodes and whole layers made by hand, so that every byte of them can be wrong. */

import type { Key, KeyRange } from '../../src/layers/key.ts';
import { encodeSummary } from '../../src/layers/layer-file/summary-format.ts';
import type { Lsn, LsnRange } from '../../src/layers/lsn.ts';
import { IDS, IMAGE_LSN, KEY_RANGE, LSN_RANGE } from './layers.ts';

export const BLOCK = 8192;

export interface NodeSpec {
  readonly level?: number;
  /** Full keys; all must begin with the same `prefixLength` bytes. */
  readonly keys: readonly Uint8Array[];
  readonly prefixLength?: number;
  /** 40-bit values of a leaf. */
  readonly values?: readonly number[];
  /** Block numbers of an inner node. */
  readonly children?: readonly number[];
  /** Bytes to set at the end, by offset in the block. */
  readonly patch?: Readonly<Record<number, readonly number[]>>;
}

export function nodeBlock(spec: NodeSpec): Uint8Array {
  const { keys, prefixLength = 0, values, children = [], patch = {} } = spec;
  const level = spec.level ?? (values === undefined ? 1 : 0);
  const keySize = keys[0]?.length ?? 0;
  const block = Buffer.alloc(BLOCK);
  block.writeUInt16BE(keys.length, 0);
  block[2] = level;
  block[3] = prefixLength;
  block[4] = keySize - prefixLength;
  block.set(keys[0]?.subarray(0, prefixLength) ?? [], 5);
  let at = 5 + prefixLength;
  for (const key of keys) {
    block.set(key.subarray(prefixLength), at);
    at += keySize - prefixLength;
  }
  for (const index of keys.keys()) {
    if (values !== undefined) {
      block.writeUIntBE(values[index] ?? 0, at, 5);
    } else {
      block[at] = 0x80;
      block.writeUInt32BE(children[index] ?? 0, at + 1);
    }
    at += 5;
  }
  for (const [offset, bytes] of Object.entries(patch)) block.set(bytes, Number(offset));
  return block;
}

export interface LayerSpec {
  readonly kind: 'delta' | 'image';
  /** Values, headers included, back to back from offset 8192. */
  readonly blobs: readonly Uint8Array[];
  /** Index blocks; the last one is the root. */
  readonly blocks: readonly Uint8Array[];
  readonly keyRange?: KeyRange;
  readonly lsnRange?: LsnRange;
  readonly lsn?: Lsn;
  readonly indexStartBlock?: number;
  readonly indexRootBlock?: number;
}

export function layerBytes(spec: LayerSpec): Buffer {
  const values = Buffer.concat(spec.blobs);
  const padding = Buffer.alloc((BLOCK - (values.length % BLOCK)) % BLOCK);
  const summary = {
    formatVersion: 3,
    ...IDS,
    keyRange: spec.keyRange ?? KEY_RANGE,
    indexStartBlock: spec.indexStartBlock ?? 1 + (values.length + padding.length) / BLOCK,
    indexRootBlock: spec.indexRootBlock ?? spec.blocks.length - 1,
  };
  const summaryBlock =
    spec.kind === 'delta'
      ? encodeSummary({ kind: 'delta', ...summary, lsnRange: spec.lsnRange ?? LSN_RANGE })
      : encodeSummary({ kind: 'image', ...summary, lsn: spec.lsn ?? IMAGE_LSN });
  return Buffer.concat([summaryBlock, values, padding, ...spec.blocks]);
}

/** A plain blob with its 1-byte header. */
export function shortBlob(content: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(content.length), content]);
}

/** Offsets of blobs that lie back to back from offset 8192. */
export function offsetsOf(blobs: readonly Uint8Array[]): number[] {
  let offset = BLOCK;
  return blobs.map(({ length }) => {
    offset += length;
    return offset - length;
  });
}

export function deltaKey(key: Key, lsn: Lsn): Uint8Array {
  const bytes = Buffer.alloc(26);
  bytes.set(key);
  bytes.writeBigUInt64BE(lsn, 18);
  return bytes;
}
