/**
 * Blobs of a layer without a leaf: those whose key and LSN are proven go into the new layer, the others are counted and
 * reported. The blobs are read twice, the second time to copy them.
 */
import { encodePlainBlobHeader, MAXIMUM_BLOB_HEADER_SIZE } from '../../blob-writer/blob-format.ts';
import { type StorageError, untracedError } from '../../errors.ts';
import { isDamage } from '../../layers/damage.ts';
import { fitsPageserver } from '../../layers/key.ts';
import { lsnOfEntryKey } from '../../layers/layer-file/entry-layout.ts';
import type { DamagedBlob, LooseBlob } from '../../layers/layer-file/loose-blobs.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { outlineOfValue } from '../../layers/value-outline.ts';
import type { LossLog } from './loss-log.ts';
import { type KeyProof, keyIn, ProvenKeys } from './proven-keys.ts';
import { RecordCensus } from './record-census.ts';
import type { PlacedRange } from './record-lsns.ts';
import type { SalvagedOutput } from './salvaged-output.ts';

/** Why the key of a blob cannot be proven. */
export type UnkeyedReason =
  /** It is not a WAL record that names a block. */
  | 'no-record'
  /** A record whose LSN cannot be proven. */
  | 'lsn-unknown'
  /** A copy of a record of several blocks, and it is unknown which of them it belongs to. */
  | 'block-unknown'
  /** `will_init` of the value contradicts the record. */
  | 'init-differs'
  /** Its key contradicts the order of the others. */
  | 'out-of-order';

/** A blob whose key is unknown, so that it is left out. */
export interface UnkeyedBlob {
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes in the file, including the header. */
  readonly storedLength: number;
  /** Bytes of the content after decompression. */
  readonly length: number;
  /** Type of the value in a delta layer; `image` in an image layer. */
  readonly type: string;
  /** Why it has no key. */
  readonly reason: UnkeyedReason;
}

export interface LooseOptions {
  readonly log: LossLog;
  readonly output: SalvagedOutput;
  readonly signal: AbortSignal | undefined;
  readonly keyCheck: 'strict' | 'ignore' | undefined;
  /** LSNs of the layer, if they are known. */
  readonly lsnRange: PlacedRange | undefined;
  /** Where the values end, if no blob shows it. */
  readonly valuesEnd: number;
  readonly pgVersion: number | undefined;
  readonly onUnkeyed: ((blob: UnkeyedBlob) => void | Promise<void>) | undefined;
}

/** Returns: how many blobs have no key. Throws: `io`, `aborted`, and as the writers. */
export async function writeLooseRecords(
  reader: SalvageReader,
  options: LooseOptions,
): Promise<number> {
  const { log, output, signal, keyCheck, onUnkeyed } = options;
  const census = new RecordCensus(options.pgVersion);
  if (reader.summary.kind === 'delta') {
    for await (const blob of looseBlobsOf(reader, signal)) {
      if (blob.kind === 'loose-blob') census.add(blob);
    }
  }
  const proven = new ProvenKeys(census, options.lsnRange);
  const lost = new LostBlobs(log, reader.path);
  let record = 0;
  let unkeyed = 0;
  for await (const blob of looseBlobsOf(reader, signal)) {
    if (blob.kind === 'damaged-blob') {
      lost.damaged(blob);
      continue;
    }
    // Read for the second time: the file may have changed.
    const isRecord = census.isIn(record, blob);
    const proof: KeyProof | 'no-record' = isRecord ? proven.proof(record) : 'no-record';
    const entryKey = isRecord ? proven.entryKey(record) : undefined;
    if (census.offsets[record] === blob.offset) record += 1;
    const isWritable =
      proof === 'proven' &&
      entryKey !== undefined &&
      (keyCheck === 'ignore' || fitsPageserver(entryKey));
    if (isWritable) {
      lost.end(blob.offset);
      await output.put(entryOf(entryKey, blob.bytes ?? new Uint8Array(0)));
      continue;
    }
    unkeyed += 1;
    const reason = proof === 'proven' ? 'out-of-order' : proof;
    lost.unkeyed(blob, reason);
    const { offset, storedLength, length, type } = blob;
    await onUnkeyed?.({ offset, storedLength, length, type, reason });
  }
  lost.end(options.valuesEnd);
  return unkeyed;
}

function entryOf(entryKey: Uint8Array, bytes: Uint8Array) {
  const blob = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE + bytes.length);
  const headerSize = encodePlainBlobHeader(blob, 0, bytes.length);
  blob.set(bytes, headerSize);
  return {
    key: keyIn(entryKey),
    lsn: lsnOfEntryKey(entryKey),
    willInit: outlineOfValue(bytes).willInit,
    blob: blob.subarray(0, headerSize + bytes.length),
  };
}

/** Only items found without a leaf. Damage of the index has already been reported. */
async function* looseBlobsOf(
  reader: SalvageReader,
  signal: AbortSignal | undefined,
): AsyncGenerator<LooseBlob | DamagedBlob> {
  try {
    for await (const item of reader.salvageBatches({ signal })) {
      if (item.kind === 'loose-blob' || item.kind === 'damaged-blob') yield item;
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
}

const REASONS: Readonly<Record<UnkeyedReason, string>> = {
  'no-record': 'values whose keys are lost with the index',
  'lsn-unknown': 'WAL records whose LSN is lost with the index',
  'block-unknown': 'WAL records of several blocks, of which the right one is unknown',
  'init-differs': 'WAL records whose will_init contradicts them',
  'out-of-order': 'WAL records that contradict the order of the others',
};

/**
 * Consecutive blobs that are lost for the same reason are one range, as are a damaged blob and the bytes up to the next.
 */
class LostBlobs {
  readonly #log: LossLog;
  readonly #path: string | undefined;
  #reason: UnkeyedReason | 'damaged' | undefined;
  #error: StorageError | undefined;
  #start = 0;
  #end = 0;
  #count = 0;

  constructor(log: LossLog, path: string | undefined) {
    this.#log = log;
    this.#path = path;
  }

  unkeyed({ offset, storedLength }: LooseBlob, reason: UnkeyedReason): void {
    if (reason !== this.#reason || offset !== this.#end) {
      this.end(offset);
      this.#begin(offset, reason);
      this.#error = untracedError('corrupt', { what: REASONS[reason], path: this.#path, offset });
    }
    this.#end = offset + storedLength;
    this.#count += 1;
  }

  damaged({ offset, error }: DamagedBlob): void {
    this.end(offset);
    this.#begin(offset, 'damaged');
    this.#error = error;
    this.#count = 1;
  }

  /** Ends the range. `next`: start of the next blob, or the end of the values. */
  end(next: number): void {
    const error = this.#error;
    if (error === undefined) return;
    const offset = this.#start;
    // It is unknown where a damaged blob ends.
    const end = this.#reason === 'damaged' ? Math.max(next, offset) : this.#end;
    this.#log.add({ offset, length: end - offset, count: this.#count, error });
    this.#error = undefined;
    this.#reason = undefined;
  }

  #begin(offset: number, reason: UnkeyedReason | 'damaged'): void {
    this.#reason = reason;
    this.#start = offset;
    this.#count = 0;
  }
}
