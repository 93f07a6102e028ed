/**
 * The new layer of a salvage: created with its first entry, under ranges that may only be known at its end.
 */
import { DeltaLayerWriter } from '../../layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../layers/image-layer/writer.ts';
import { compareKeys, KEY_SIZE, type Key, nextKey } from '../../layers/key.ts';
import type { FinishedLayer, WriteOptions } from '../../layers/layer-file/layer-writer.ts';
import { type Lsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
import { ALL_KEYS, isEverything, type LayerOrigin, type ReadRanges } from './layer-origin.ts';

/** An entry with its blob as it is stored, header included. All may be views. */
export interface StoredEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly willInit: boolean;
  readonly blob: Uint8Array;
}

export class SalvagedOutput {
  readonly #writing: WriteOptions;
  readonly #origin: LayerOrigin;
  readonly #ranges: ReadRanges;
  readonly #lsn: Lsn;
  #writer:
    | { readonly kind: 'delta'; readonly file: DeltaLayerWriter }
    | { readonly kind: 'image'; readonly file: ImageLayerWriter }
    | undefined;
  readonly #firstKey = new Uint8Array(KEY_SIZE);
  readonly #lastKey = new Uint8Array(KEY_SIZE);
  #lowestLsn = MAXIMUM_LSN;
  #highestLsn = 0n;
  entryCount = 0;

  constructor(
    origin: LayerOrigin,
    output: { readonly writing: WriteOptions; readonly ranges: ReadRanges; readonly lsn: Lsn },
  ) {
    this.#origin = origin;
    this.#writing = output.writing;
    this.#ranges = output.ranges;
    this.#lsn = output.lsn;
  }

  /** Appends an entry; above the last one, and in the ranges. Throws: as the writers. */
  async put({ key, lsn, willInit, blob }: StoredEntry): Promise<void> {
    this.#writer ??= await this.#create();
    const writer = this.#writer;
    const room =
      writer.kind === 'delta'
        ? writer.file.putBlob(key, lsn, blob, willInit)
        : writer.file.putBlob(key, blob);
    if (this.entryCount === 0) this.#firstKey.set(key);
    this.#lastKey.set(key);
    if (lsn < this.#lowestLsn) this.#lowestLsn = lsn;
    if (lsn > this.#highestLsn) this.#highestLsn = lsn;
    this.entryCount += 1;
    if (room !== undefined) await room;
  }

  /** Undefined if there was no entry. Throws: `exists` and as the writers; then nothing is left. */
  async finish(): Promise<FinishedLayer | undefined> {
    const writer = this.#writer;
    if (writer === undefined) return undefined;
    const { keyRange, lsnRange } = this.#finalRanges();
    return writer.kind === 'delta'
      ? writer.file.finishAs({ keyRange, lsnRange })
      : writer.file.finishAs({ keyRange });
  }

  /** Deletes an unfinished layer; does nothing after a finish. */
  async abandon(): Promise<void> {
    await this.#writer?.file.abandon();
  }

  async #create() {
    const options = { ...this.#writing, keyRange: ALL_KEYS };
    if (this.#origin.kind === 'delta') {
      const lsnRange = { start: 0n, end: MAXIMUM_LSN };
      const file = await DeltaLayerWriter.createUnnamed({ ...options, lsnRange });
      return { kind: 'delta', file } as const;
    }
    const compression = { kind: 'none' } as const;
    const file = await ImageLayerWriter.createUnnamed({ ...options, lsn: this.#lsn, compression });
    return { kind: 'image', file } as const;
  }

  /** The ranges of the original, where they are known; otherwise those of the entries. */
  #finalRanges(): ReadRanges {
    const { named } = this.#origin;
    const recovered = {
      keyRange: { start: Uint8Array.from(this.#firstKey), end: nextKey(this.#lastKey) },
      lsnRange: { start: this.#lowestLsn, end: this.#highestLsn + 1n },
    };
    if (isEverything(this.#ranges)) return recovered;
    // The name of an unfinished delta layer does not contain the end of its keys.
    const isOpen =
      named?.kind === 'delta' &&
      named.keyRange === undefined &&
      compareKeys(this.#ranges.keyRange.start, named.keyStart) === 0 &&
      compareKeys(this.#ranges.keyRange.end, ALL_KEYS.end) === 0;
    if (!isOpen) return this.#ranges;
    const keyRange = { start: named.keyStart, end: recovered.keyRange.end };
    return { keyRange, lsnRange: this.#ranges.lsnRange };
  }
}
