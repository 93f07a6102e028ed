/**
 * The layers of a timeline: a row of image layers, rows of L1s above it, L0s on top. Each row of deltas has one
 * short record of each key, each L0 one of some keys.
 */
import {
  DeltaLayerWriter,
  encodeValue,
  ImageLayerWriter,
  maximumKey,
  minimumKey,
} from '../../dist/layers.js';
import { IDS, keyOfBlock } from '../inputs/keys.mjs';
import { randomBytes } from '../inputs/random.mjs';

export const KEYS_OF_TIMELINE = 20_000;

const IMAGE_LENGTH = 256;
const RECORD_LENGTH = 80;
const COLUMNS = 16;
const L0_COUNT = 8;
const ROW_LSNS = 0x1_0000n;
const FIRST_LSN = 0x100_0000n;
const ROWS = 11;

/** One of each row, and one of an L0. */
export const RECORDS_OF_KEY = ROWS + 1;
export const LAST_LSN_OF_TIMELINE = FIRST_LSN + ROW_LSNS * BigInt(ROWS + L0_COUNT);

/** Writes the layers into the directory. Returns: the directory. */
export async function writeLayers(directory, count) {
  const image = randomBytes(IMAGE_LENGTH, 1);
  const bytes = randomBytes(RECORD_LENGTH, 2);
  const record = encodeValue({ type: 'wal', willInit: false, bytes });
  let written = 0;
  const columnKeys = KEYS_OF_TIMELINE / COLUMNS;
  for (let column = 0; column < COLUMNS; column += 1, written += 1) {
    const blocks = blocksFrom(column * columnKeys, { count: columnKeys });
    const keyRange = rangeOf(blocks, columnKeys);
    const writer = await ImageLayerWriter.create({ ...IDS, directory, keyRange, lsn: FIRST_LSN });
    for (const block of blocks) await writer.put(keyOfBlock(block), image);
    await writer.finish();
  }
  let start = FIRST_LSN + 1n;
  for (let row = 0; row < ROWS; row += 1, start += ROW_LSNS) {
    for (let column = 0; column < COLUMNS; column += 1, written += 1) {
      const blocks = blocksFrom(column * columnKeys, { count: columnKeys });
      await writeRecords(directory, {
        blocks,
        keyRange: rangeOf(blocks, columnKeys),
        start,
        record,
      });
    }
  }
  for (let layer = 0; layer < L0_COUNT; layer += 1, start += ROW_LSNS, written += 1) {
    const blocks = blocksFrom(layer, { count: KEYS_OF_TIMELINE / L0_COUNT, step: L0_COUNT });
    const keyRange = { start: minimumKey(), end: maximumKey() };
    await writeRecords(directory, { blocks, keyRange, start, record });
  }
  if (written !== count) throw new RangeError(`${written} layers instead of ${count}`);
  return directory;
}

async function writeRecords(directory, { blocks, keyRange, start, record }) {
  const lsnRange = { start, end: start + ROW_LSNS };
  const writer = await DeltaLayerWriter.create({ ...IDS, directory, keyRange, lsnRange });
  for (const [at, block] of blocks.entries()) {
    await writer.putSerialized(keyOfBlock(block), start + BigInt(at), record, false);
  }
  await writer.finish();
}

function blocksFrom(first, { count, step = 1 }) {
  return Array.from({ length: count }, (_, at) => first + at * step);
}

function rangeOf(blocks, count) {
  return { start: keyOfBlock(blocks[0]), end: keyOfBlock(blocks[0] + count) };
}
