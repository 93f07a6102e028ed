/**
 * Writes entries into delta layers of about a target size, cut between keys.
 *
 *   a new layer begins    before a new key, if values + finished index blocks + 8,192 + 106 >= target
 *   key range             first key .. first key of the next layer; the last one: .. last key + 1
 *   LSN range             the whole range, for each
 *
 * All versions of a key are in one layer, however large it becomes.
 *
 * Source: Neon pageserver/src/tenant/storage_layer/batch_split_writer.rs.
 */
import { checkContent } from '../blob-writer/blob-format.ts';
import { checkCount, checkObject, checkOptions, type KnownOptions } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
import { checkKey, compareKeys, formatKey, type Key, nextKey } from '../layers/key.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { WRITE_OPTIONS } from '../layers/layer-file/layer-writer.ts';
import { checkLsn, checkLsnRange, formatLsn, type Lsn } from '../layers/lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../layers/value-format.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { DeltaPieces } from './delta-pieces.ts';
import type { OnLayer } from './finished-pieces.ts';

/** Bytes of a layer after which the next one begins, by default: 128 MiB. */
export const DEFAULT_TARGET_SIZE = 128 * 1024 * 1024;

/** Options of `SplitDeltaWriter`. */
export interface SplitDeltaOptions extends Omit<DeltaWriteOptions, 'keyRange'> {
  /** Bytes of a layer after which the next one begins. Default: 128 MiB. */
  readonly targetSize?: number | undefined;
  /** Called with each layer once it is durable, in order; the next one waits for its promise. */
  readonly onLayer?: OnLayer | undefined;
}

const OPTIONS: KnownOptions<SplitDeltaOptions> = {
  ...WRITE_OPTIONS,
  lsnRange: true,
  targetSize: true,
  onLayer: 'function',
};

/** What a pageserver adds for the summary and the next entry. */
const MORE_BYTES = BLOCK_SIZE + 106;

/**
 * Writes entries into delta layers of about a target size. Ends with `finish` or `abandon`; await each
 * call before the next.
 *
 * @example
 * await using writer = new SplitDeltaWriter({ directory, tenantId, timelineId, lsnRange });
 * for (const { key, lsn, value } of entries) await writer.put(key, lsn, value);
 * const layers = await writer.finish();
 */
export class SplitDeltaWriter {
  readonly #options: SplitDeltaOptions;
  readonly #pieces: DeltaPieces;
  readonly #limit: number;
  #firstKey: Key | undefined;
  #lastKey: Key | undefined;
  #lastLsn: Lsn = 0n;
  #state: 'open' | 'finished' | 'abandoned' = 'open';

  /**
   * @throws `invalid-input` and `out-of-range` for a target size or an LSN range that is not valid; other options are
   * checked with the first put.
   */
  constructor(options: SplitDeltaOptions) {
    checkOptions(options, OPTIONS);
    const { targetSize = DEFAULT_TARGET_SIZE, onLayer, ...pieces } = options;
    checkCount('targetSize', targetSize, { from: 1 });
    checkObject('lsnRange', options.lsnRange);
    checkLsnRange(options.lsnRange);
    this.#options = options;
    this.#limit = targetSize - 1;
    this.#pieces = new DeltaPieces({ onLayer, ...pieces });
  }

  /**
   * Writes an entry.
   *
   * @param key With the LSN, above the last one; the LSN inside the LSN range.
   * @throws `out-of-order`, `out-of-range`, `too-large`, `invalid-input`, `exists`, `io`, `sync-failed`,
   * `aborted`, `closed`.
   */
  async put(key: Key, lsn: Lsn, value: Value): Promise<void> {
    await this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /** As `put`, for a serialized value, which is not decoded. */
  async putSerialized(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): Promise<void> {
    if (this.#state !== 'open') throw this.#closedError();
    this.#check(key, lsn);
    checkContent(bytes);
    const isNewKey = this.#lastKey === undefined || compareKeys(key, this.#lastKey) !== 0;
    if (isNewKey) await this.#beginKey(key);
    await this.#pieces.roomFor(bytes.length);
    this.#pieces.rows.add(key, lsn, bytes, willInit);
    this.#lastLsn = lsn;
  }

  /**
   * Ends the last layer.
   *
   * @returns The layers in the order of their keys, all durable; none if nothing was put.
   * @throws As `put`.
   */
  async finish(): Promise<readonly FinishedLayer[]> {
    if (this.#state !== 'open') throw this.#closedError();
    this.#state = 'finished';
    try {
      if (this.#lastKey !== undefined) await this.#endPiece(nextKey(this.#lastKey));
      return await this.#pieces.finish();
    } catch (error) {
      await this.#pieces.abandon();
      throw error;
    }
  }

  /** Deletes the unfinished layer; layers that were passed to `onLayer` stay. Idempotent. */
  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'abandoned';
    await this.#pieces.abandon();
  }

  /** As `abandon`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  async #beginKey(key: Key): Promise<void> {
    const own = Uint8Array.from(key);
    if (this.#pieces.isOpen && (await this.#pieces.exceeds(MORE_BYTES, this.#limit))) {
      await this.#endPiece(own);
    }
    if (!this.#pieces.isOpen) {
      await this.#pieces.begin();
      this.#firstKey = own;
    }
    this.#lastKey = own;
  }

  async #endPiece(end: Key): Promise<void> {
    await this.#pieces.end({ start: this.#firstKey ?? end, end }, this.#options.lsnRange);
  }

  #check(key: Key, lsn: Lsn): void {
    checkKey(key);
    checkLsn(lsn);
    const last = this.#lastKey;
    const order = last === undefined ? 1 : compareKeys(key, last);
    const place = { key: formatKey(key), lsn: formatLsn(lsn) };
    if (order < 0 || (order === 0 && lsn <= this.#lastLsn)) {
      const expected = 'a key and LSN above the last put';
      throw new StorageError('out-of-order', { what: 'put is not above', expected, ...place });
    }
    const { start, end } = this.#options.lsnRange;
    if (lsn >= start && lsn < end) return;
    const expected = `LSNs ${formatLsn(start)} to ${formatLsn(end)}`;
    throw new StorageError('out-of-range', {
      what: 'put is outside the layer',
      expected,
      ...place,
    });
  }

  #closedError(): StorageError {
    return new StorageError('closed', { what: `split writer is ${this.#state}` });
  }
}
