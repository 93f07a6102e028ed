/**
 * A layer of the same shape without data, which can be shared: the same keys, LSNs, types, lengths and
 * `willInit`; blobs are compressed where they were, to about the same size.
 *
 * Neither the noise nor anything else depends on the data, except for its length, the size of its frame, and what
 * `redact-image.ts` and `redact-value.ts` list. Ids, the ranges of the layer and its keys stay: they have numbers
 * of relations and blocks; the keys of auxiliary files are hashes of their names.
 */

import { encodeZstdBlobHeader, MAXIMUM_BLOB_HEADER_SIZE } from '../../blob-writer/blob-format.ts';
import { checkCount, checkObject } from '../../check-options.ts';
import { withOutcome } from '../../errors.ts';
import type { DeltaLayerReader } from '../../layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../layers/delta-layer/writer.ts';
import type { ImageLayerReader } from '../../layers/image-layer/reader.ts';
import { ImageLayerWriter } from '../../layers/image-layer/writer.ts';
import type { EntryBatch } from '../../layers/layer-file/entry-batch.ts';
import { EntryCursor } from '../../layers/layer-file/entry-cursor.ts';
import { checkReader } from '../../layers/layer-file/layer-input.ts';
import type { FinishedLayer, WriteOptions } from '../../layers/layer-file/layer-writer.ts';
import { type Compressor, loadCompressor } from '../../zstd/compression.ts';
import { Filler } from './filler.ts';
import { type RedactedPlace, redactImage } from './redact-image.ts';
import { redactValue } from './redact-value.ts';

/** Options of `redactLayer`. */
export interface RedactLayerOptions extends Omit<WriteOptions, 'tenantId' | 'timelineId'> {
  /** Seed of the noise, u32. The same seed gives the same layer. Default: 0. */
  readonly seed?: number | undefined;
}

/**
 * Makes a layer of the same shape without data.
 *
 * @returns The new layer, under the same name.
 * @throws `exists`, `invalid-input`, `io`, `sync-failed`, `aborted`; as a scan of the layer, at the first damage. Unless
 *   `error.outcome` is `durable` or `in-doubt`, nothing is left in the directory.
 *
 * Durability: once this resolves, the new layer survives a crash.
 */
export async function redactLayer(
  reader: DeltaLayerReader | ImageLayerReader,
  options: RedactLayerOptions,
): Promise<FinishedLayer> {
  checkReader(reader);
  checkObject('options', options);
  const { seed = 0, ...writing } = options;
  checkCount('seed', seed, { to: 0xffff_ffff });
  try {
    return await redact(reader, seed, writing);
  } catch (error) {
    // An error of `finish` has its own outcome; all others occur before it, in reading or in writing values.
    throw withOutcome(error, 'not-applied');
  }
}

async function redact(
  reader: DeltaLayerReader | ImageLayerReader,
  seed: number,
  writing: Omit<RedactLayerOptions, 'seed'>,
): Promise<FinishedLayer> {
  const { summary } = reader;
  const { tenantId, timelineId, keyRange } = summary;
  const common = { ...writing, tenantId, timelineId, keyRange };
  if (summary.kind === 'delta') {
    await using writer = await DeltaLayerWriter.create({ ...common, lsnRange: summary.lsnRange });
    const put: PutBlob = ({ key, lsn, willInit }, blob) => writer.putBlob(key, lsn, blob, willInit);
    await redactEntries(reader, { seed, signal: writing.signal, put, kind: 'delta' });
    return writer.finish();
  }
  const compression = { kind: 'none' } as const;
  await using writer = await ImageLayerWriter.create({ ...common, lsn: summary.lsn, compression });
  const put: PutBlob = ({ key }, blob) => writer.putBlob(key, blob);
  await redactEntries(reader, { seed, signal: writing.signal, put, kind: 'image' });
  return writer.finish();
}

type PutBlob = (entry: EntryCursor, blob: Uint8Array) => void | Promise<void>;

interface Redacting {
  readonly kind: 'delta' | 'image';
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
  readonly put: PutBlob;
}

async function redactEntries(
  reader: DeltaLayerReader | ImageLayerReader,
  { kind, seed, signal, put }: Redacting,
): Promise<void> {
  const compressor = await loadCompressor(1);
  for await (const batch of reader.batches({ signal })) {
    const entry = new EntryCursor(batch);
    for (; !entry.isDone; entry.index += 1) {
      const { key, lsn } = entry;
      const place = { key, lsn, filler: new Filler(seed, key, lsn) };
      const blob = entry.compressed
        ? compressedBlob(entry, { kind, place, compressor })
        : plainBlob(batch, entry, { kind, place });
      const room = put(entry, blob);
      if (room !== undefined) await room;
    }
  }
}

/** With the header that it had. */
function plainBlob(
  { buffer, starts, lengths }: EntryBatch,
  { index, headerSize }: EntryCursor,
  { kind, place }: { readonly kind: 'delta' | 'image'; readonly place: RedactedPlace },
): Uint8Array {
  const start = starts[index] as number;
  const blob = buffer.slice(start - headerSize, start + (lengths[index] as number));
  const content = blob.subarray(headerSize);
  if (kind === 'delta') redactValue(content, place);
  else redactImage(content, place);
  return blob;
}

/** Bytes of a frame in addition to the incompressible ones. */
const FRAME_OVERHEAD = 40;

/** A frame of about the size that it had. */
function compressedBlob(
  entry: EntryCursor,
  {
    kind,
    place,
    compressor,
  }: {
    readonly kind: 'delta' | 'image';
    readonly place: RedactedPlace;
    readonly compressor: Compressor;
  },
): Uint8Array {
  const content = entry.bytes.slice();
  const noiseLength = Math.max(0, entry.storedLength - entry.headerSize - FRAME_OVERHEAD);
  if (kind === 'delta') redactValue(content, place);
  else redactImage(content, place, noiseLength);
  const frame = compressor.compressSync(content);
  const blob = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE + frame.length);
  encodeZstdBlobHeader(blob, 0, frame.length);
  blob.set(frame, MAXIMUM_BLOB_HEADER_SIZE);
  return blob;
}
