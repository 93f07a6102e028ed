/**
 * Writes a layer of about that size before compression: a delta layer of pages, with small records
 * between them, or an image layer of pages of which half can be compressed.
 */
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { blockKey, IDS, IMAGE_LSN, LSN_RANGE, noise } from '../../support/layers.ts';

export interface BigLayerInput {
  readonly directory: string;
  readonly kind: 'delta' | 'image';
  readonly mebibytes: number;
}

export type BigLayerResult = Pick<FinishedLayer, 'path' | 'size' | 'entryCount'>;

const PAGE_LENGTH = 8192;
const RECORD_LENGTH = 180;
const RECORDS_PER_PAGE = 4;
/** Bytes that no two pages near each other share, and that cost nothing to make. */
const POOL = noise(1024 * 1024, 1);

const [, , text = ''] = process.argv;
const { directory, kind, mebibytes }: BigLayerInput = JSON.parse(text);
/** Every block that one relation can have. */
const keyRange = { start: blockKey(0), end: blockKey(0xffff_ffff) };
const { path, size, entryCount } = await (kind === 'delta' ? writeDelta() : writeImages());
const result: BigLayerResult = { path, size, entryCount };
console.log(JSON.stringify(result));

async function writeDelta(): Promise<FinishedLayer> {
  await using writer = await DeltaLayerWriter.create({
    directory,
    ...IDS,
    keyRange,
    lsnRange: LSN_RANGE,
  });
  for (let block = 0; writer.estimatedSize < mebibytes * 1024 * 1024; block += 1) {
    const key = blockKey(block);
    await writer.put(key, LSN_RANGE.start, { type: 'image', bytes: someBytes(PAGE_LENGTH, block) });
    for (let record = 1; record <= RECORDS_PER_PAGE; record += 1) {
      const bytes = someBytes(RECORD_LENGTH, block + record);
      const lsn = LSN_RANGE.start + BigInt(record);
      await writer.put(key, lsn, { type: 'wal', willInit: false, bytes });
    }
  }
  return await writer.finish();
}

/** Compressed as by default: zstd at level 1. */
async function writeImages(): Promise<FinishedLayer> {
  await using writer = await ImageLayerWriter.create({
    directory,
    ...IDS,
    keyRange,
    lsn: IMAGE_LSN,
  });
  const pageCount = (mebibytes * 1024 * 1024) / PAGE_LENGTH;
  for (let block = 0; block < pageCount; block += 1) {
    const page = new Uint8Array(PAGE_LENGTH);
    page.set(someBytes(PAGE_LENGTH / 2, block));
    await writer.put(blockKey(block), page);
  }
  return await writer.finish();
}

function someBytes(length: number, number: number): Uint8Array {
  const start = (number * 4099) % (POOL.length - length);
  return POOL.subarray(start, start + length);
}
