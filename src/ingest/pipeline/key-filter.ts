/**
 * A filter of the keys that have been put, page keys excepted. Nearly every read of an ingest is the first read of a
 * size or a directory of the base; without the filter, a table of all rows would be built to find that an open layer
 * does not have the key.
 */
import { hashOfKey } from '../../layers/key.ts';
import { SIZE_BLOCK_NUMBER } from '../../postgres/key-mapping.ts';

/**
 * Enough for the sizes of some 100,000 forks; with more keys, some reads search the open layer although it lacks the
 * key.
 */
const BIT_COUNT = 1 << 20;
const RELATION = 0;
const SLRU = 1;

/** Keys are views of 18 bytes. */
export class KeyFilter {
  readonly #bits = new Uint8Array(BIT_COUNT / 8);

  /** Adds a key. */
  add(key: DataView): void {
    if (isOfPage(key)) return;
    const bit = bitOf(key);
    this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] as number) | (1 << (bit & 7));
  }

  /** Returns: false if the key has not been added. */
  mayHave(key: DataView): boolean {
    if (isOfPage(key)) return true;
    const bit = bitOf(key);
    return ((this.#bits[bit >>> 3] as number) & (1 << (bit & 7))) !== 0;
  }
}

/** A block of a relation or of an SLRU. */
function isOfPage(key: DataView): boolean {
  if (key.getUint32(14) === SIZE_BLOCK_NUMBER) return false;
  const kind = key.getUint8(0);
  if (kind === RELATION) return key.getUint32(9) !== 0;
  return kind === SLRU && key.getUint32(5) !== 0;
}

function bitOf(key: DataView): number {
  return hashOfKey(key, 0) & (BIT_COUNT - 1);
}
