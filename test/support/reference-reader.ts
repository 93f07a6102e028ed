/**
 * The format read a second time, straight from its description and without any code of the sources,
 * to compare the readers with. `hand-made.ts` writes it, `reference-index.ts` builds its index.
 */
import { BLOCK } from './hand-made.ts';

export interface ReferenceLayer {
  readonly kind: 'delta' | 'image';
  readonly keySize: number;
  readonly indexStart: number;
  /** Entry keys are at or above the first and below the second; LSNs likewise. */
  readonly firstKey: Buffer;
  readonly endKey: Buffer;
  readonly firstLsn: bigint;
  readonly endLsn: bigint;
}

/** The fields of the summary; undefined if the bytes are not a layer. */
export function referenceLayer(bytes: Buffer): ReferenceLayer | undefined {
  if (bytes.length < BLOCK || bytes.readUInt16BE(2) !== 3) return undefined;
  const magic = bytes.readUInt16BE(0);
  if (magic !== 0x5a61 && magic !== 0x5a60) return undefined;
  const kind = magic === 0x5a61 ? 'delta' : 'image';
  const firstLsn = bytes.readBigUInt64BE(72);
  return {
    kind,
    keySize: kind === 'delta' ? 26 : 18,
    indexStart: bytes.readUInt32BE(kind === 'delta' ? 88 : 80) * BLOCK,
    firstKey: bytes.subarray(36, 54),
    endKey: bytes.subarray(54, 72),
    firstLsn,
    endLsn: kind === 'delta' ? bytes.readBigUInt64BE(80) : firstLsn + 1n,
  };
}

export interface StoredReference {
  readonly storedLength: number;
  readonly compressed: boolean;
  readonly payload: Buffer;
}

/** The blob at an offset; undefined if no blob can be there. */
export function referenceBlob(
  bytes: Buffer,
  offset: number,
  end: number,
): StoredReference | undefined {
  if (offset < BLOCK || offset >= Math.min(end, bytes.length)) return undefined;
  const first = bytes.readUInt8(offset);
  if (first < 0x80)
    return cut({ bytes, offset, end }, { header: 1, length: first, compressed: false });
  if (offset + 4 > end || (first & 0x60) !== 0) return undefined;
  const length = bytes.readUInt32BE(offset) & 0x0fff_ffff;
  return cut({ bytes, offset, end }, { header: 4, length, compressed: (first & 0x10) !== 0 });
}

function cut(
  { bytes, offset, end }: { bytes: Buffer; offset: number; end: number },
  { header, length, compressed }: { header: number; length: number; compressed: boolean },
): StoredReference | undefined {
  const start = offset + header;
  if (start + length > end) return undefined;
  const payload = bytes.subarray(start, start + length);
  return { storedLength: header + length, compressed, payload };
}

/** A node of the index; offsets are those of the bytes that it was read from. */
export interface ReferenceNode {
  readonly at: number;
  readonly count: number;
  readonly level: number;
  readonly prefixLength: number;
  readonly suffixLength: number;
  readonly suffixesAt: number;
  readonly valuesAt: number;
}

/** The node in the block that begins at an offset; undefined if it has no entries or too many. */
export function referenceNode(bytes: Buffer, at: number): ReferenceNode | undefined {
  if (at + BLOCK > bytes.length) return undefined;
  const count = bytes.readUInt16BE(at);
  const level = bytes.readUInt8(at + 2);
  const prefixLength = bytes.readUInt8(at + 3);
  const suffixLength = bytes.readUInt8(at + 4);
  const suffixesAt = at + 5 + prefixLength;
  const valuesAt = suffixesAt + count * suffixLength;
  if (count === 0 || valuesAt + 5 * count > at + BLOCK) return undefined;
  return { at, count, level, prefixLength, suffixLength, suffixesAt, valuesAt };
}
