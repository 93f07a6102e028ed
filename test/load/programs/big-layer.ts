/** Writes a delta layer of about that size: pages, and small records between them. */
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { blockKey, IDS, LSN_RANGE, noise } from '../../support/layers.ts';

export interface BigLayerInput {
  readonly directory: string;
  readonly mebibytes: number;
}

export type BigLayerResult = Pick<FinishedLayer, 'path' | 'size' | 'entryCount'>;

const PAGE_LENGTH = 8192;
const RECORD_LENGTH = 180;
const RECORDS_PER_PAGE = 4;
/** Bytes that no two pages near each other share, and that cost nothing to make. */
const POOL = noise(1024 * 1024, 1);

const [, , text = ''] = process.argv;
const { directory, mebibytes }: BigLayerInput = JSON.parse(text);
/** Every block that one relation can have. */
const keyRange = { start: blockKey(0), end: blockKey(0xffff_ffff) };
await using writer = await DeltaLayerWriter.create({
  directory,
  ...IDS,
  keyRange,
  lsnRange: LSN_RANGE,
});

function someBytes(length: number, number: number): Uint8Array {
  const start = (number * 4099) % (POOL.length - length);
  return POOL.subarray(start, start + length);
}

for (let block = 0; writer.estimatedSize < mebibytes * 1024 * 1024; block += 1) {
  const key = blockKey(block);
  await writer.put(key, LSN_RANGE.start, { type: 'image', bytes: someBytes(PAGE_LENGTH, block) });
  for (let record = 1; record <= RECORDS_PER_PAGE; record += 1) {
    const bytes = someBytes(RECORD_LENGTH, block + record);
    const lsn = LSN_RANGE.start + BigInt(record);
    await writer.put(key, lsn, { type: 'wal', willInit: false, bytes });
  }
}
const { path, size, entryCount } = await writer.finish();
const result: BigLayerResult = { path, size, entryCount };
console.log(JSON.stringify(result));
