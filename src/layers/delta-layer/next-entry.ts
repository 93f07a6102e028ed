/** The next index entry of a delta layer: refused before anything is changed, or put. */
import { StorageError } from '../../errors.ts';
import { fitsPageserver, formatKey, type KeyRange, unfitKeyError } from '../key.ts';
import {
  DELTA_KEY_SIZE,
  DeltaBounds,
  lsnOfEntryKey,
  MAXIMUM_DELTA_OFFSET,
} from '../layer-file/entry-layout.ts';
import type { LayerFileWriter, WriteOptions } from '../layer-file/layer-writer.ts';
import { formatLsn, type LsnRange } from '../lsn.ts';

/** Which entries a layer accepts. */
export interface EntryLimits extends Pick<WriteOptions, 'keyCheck'> {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

/** Bits of the first four bytes of a key; if none is set, a pageserver can hold the key. */
const UNFIT_KEY_BITS = 0x80ff_ff00;

export class NextEntry {
  readonly #bounds: DeltaBounds;
  readonly #file: LayerFileWriter;
  readonly #limits: EntryLimits;

  constructor(file: LayerFileWriter, limits: EntryLimits) {
    this.#file = file;
    this.#limits = limits;
    this.#bounds = new DeltaBounds(limits.keyRange, limits.lsnRange);
  }

  /** Whether the entry key at `at` is inside the layer, with a key that a pageserver can hold. */
  accepts(keys: DataView, at: number): boolean {
    return this.#bounds.contains(keys, at) && this.#fits(keys, at);
  }

  /** Refuses the index's next key, or the offset of its value, before anything is changed. */
  check(offset: number): void {
    const { index } = this.#file;
    if (!index.acceptsNext()) throw this.#refused('out-of-order', 'not above');
    if (!this.#bounds.contains(index.nextKey.view, 0)) {
      throw this.#refused('out-of-range', 'outside the layer');
    }
    const { bytes, view } = index.nextKey;
    if (!this.#fits(view, 0)) {
      const lsn = formatLsn(lsnOfEntryKey(bytes));
      throw unfitKeyError(bytes, 0, { path: this.#file.path, lsn });
    }
    if (offset > MAXIMUM_DELTA_OFFSET) throw this.#refused('too-large', 'beyond the last offset');
  }

  /** Puts the next key, whose value was appended at `offset`. */
  put(buffered: void | Promise<void>, offset: number, willInit: boolean): void | Promise<void> {
    this.#file.index.putNext(offset * 2 + (willInit ? 1 : 0));
    return buffered ?? this.#file.indexRoom;
  }

  #fits(keys: DataView, at: number): boolean {
    if ((keys.getUint32(at) & UNFIT_KEY_BITS) === 0) return true;
    if (this.#limits.keyCheck === 'ignore') return true;
    return fitsPageserver(new Uint8Array(keys.buffer, keys.byteOffset + at, DELTA_KEY_SIZE));
  }

  #refused(code: 'out-of-order' | 'out-of-range' | 'too-large', why: string): StorageError {
    const { bytes } = this.#file.index.nextKey;
    const { keyRange, lsnRange } = this.#limits;
    const expected = {
      'out-of-order': 'a key and LSN above the last put',
      'out-of-range':
        `keys ${formatKey(keyRange.start)} to ${formatKey(keyRange.end)}, ` +
        `LSNs ${formatLsn(lsnRange.start)} to ${formatLsn(lsnRange.end)}`,
      'too-large': `a file offset of at most ${MAXIMUM_DELTA_OFFSET}`,
    }[code];
    return new StorageError(code, {
      what: `put is ${why}`,
      path: this.#file.path,
      key: formatKey(bytes),
      lsn: formatLsn(lsnOfEntryKey(bytes)),
      expected,
    });
  }
}
