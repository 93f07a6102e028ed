/** Reads single values of a timeline at an LSN: those that are always images. */
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey, type Key, type KeyRange } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { imageValueOf } from '../../timeline/read-page.ts';
import type { Reconstruction } from '../../timeline/reconstruct.ts';
import type { Timeline } from '../../timeline/timeline.ts';

export class ValueReader {
  readonly #timeline: Timeline;
  readonly #lsn: Lsn;
  readonly #signal: AbortSignal | undefined;

  constructor(timeline: Timeline, lsn: Lsn, signal: AbortSignal | undefined) {
    this.#timeline = timeline;
    this.#lsn = lsn;
    this.#signal = signal;
  }

  /**
   * Reads and decodes a value.
   *
   * @throws `not-found` if there is none; what `decode` throws, with the place of the value; as `Timeline.reconstruct`.
   */
  async read<T>(key: Key, what: string, decode: (bytes: Uint8Array) => T): Promise<T> {
    const found = await this.#timeline.reconstruct(key, this.#lsn, { signal: this.#signal });
    const bytes = imageValueOf(found);
    if (bytes !== undefined) return this.#decode(found, () => decode(bytes));
    throw new StorageError('not-found', {
      what: `no ${what}`,
      key: formatKey(key),
      lsn: formatLsn(this.#lsn),
    });
  }

  /**
   * Reads and decodes the values of a range that are not empty, ascending.
   *
   * @throws As `read`, but for `not-found`; `no-base`, `needs-redo` for records, which would change the value.
   */
  async readRange<T>(range: KeyRange, decode: (key: Key, bytes: Uint8Array) => T): Promise<T[]> {
    const { found } = await this.#timeline.reconstructRanges([range], this.#lsn, {
      signal: this.#signal,
    });
    return found.flatMap((value) => {
      const bytes = imageValueOf(value);
      if (bytes === undefined) throw this.#notAnImage(value);
      return bytes.length === 0 ? [] : [this.#decode(value, () => decode(value.key, bytes))];
    });
  }

  #notAnImage({ key, outcome, records }: Reconstruction): StorageError {
    return new StorageError(outcome === 'complete' ? 'needs-redo' : 'no-base', {
      what: 'value that is always an image',
      ...{ key: formatKey(key), lsn: formatLsn(this.#lsn) },
      expected: 'no WAL records',
      actual: `${records.length}`,
    });
  }

  #decode<T>({ key, base }: Reconstruction, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (!isStorageError(error)) throw error;
      const place = { path: base?.layer, offset: base?.offset };
      throw error.with({ ...place, key: formatKey(key), lsn: formatLsn(base?.lsn ?? this.#lsn) });
    }
  }
}
