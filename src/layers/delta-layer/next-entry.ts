/** The entry that a delta layer's index gets next: refused before anything is changed, or put. */
import { StorageError } from '../../errors.ts';
import { formatKey, type KeyRange } from '../key.ts';
import { DeltaBounds, lsnOfEntryKey, MAXIMUM_DELTA_OFFSET } from '../layer-file/entry-layout.ts';
import type { LayerFileWriter } from '../layer-file/layer-writer.ts';
import { formatLsn, type LsnRange } from '../lsn.ts';

export interface LayerRanges {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

export class NextEntry {
  readonly bounds: DeltaBounds;
  readonly #file: LayerFileWriter;
  readonly #ranges: LayerRanges;

  constructor(file: LayerFileWriter, ranges: LayerRanges) {
    this.#file = file;
    this.#ranges = ranges;
    this.bounds = new DeltaBounds(ranges.keyRange, ranges.lsnRange);
  }

  /** Refuses the index's next key, or the offset of its value, before anything is changed. */
  check(offset: number): void {
    const { index } = this.#file;
    if (!index.acceptsNext()) throw this.#refused('out-of-order', 'not above');
    if (!this.bounds.contains(index.nextKey.view, 0)) {
      throw this.#refused('out-of-range', 'outside the layer');
    }
    if (offset > MAXIMUM_DELTA_OFFSET) throw this.#refused('too-large', 'beyond the last offset');
  }

  /** Puts the next key, whose value was appended at `offset`. */
  put(buffered: void | Promise<void>, offset: number, willInit: boolean): void | Promise<void> {
    this.#file.index.putNext(offset * 2 + (willInit ? 1 : 0));
    return buffered ?? this.#file.indexRoom;
  }

  #refused(code: 'out-of-order' | 'out-of-range' | 'too-large', why: string): StorageError {
    const { bytes } = this.#file.index.nextKey;
    const { keyRange, lsnRange } = this.#ranges;
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
