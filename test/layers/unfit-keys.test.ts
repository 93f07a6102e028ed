/** Keys that a pageserver cannot hold: every writer refuses them, and goes on with the others. */
import { describe, expect, it } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { type Key, maximumKey, minimumKey, parseKey } from '../../src/layers/key.ts';
import {
  DIRECTORY,
  deltaOptions,
  IDS,
  imageOptions,
  LSN_RANGE,
  memoryDisk,
} from '../support/layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const KEY_RANGE = { start: minimumKey(), end: maximumKey() };
const LSN = LSN_RANGE.start;
const BYTES = Uint8Array.of(1);

const FIT = ['000000FFFF', '0022222222', '00FFFFFFFF', '7F0000FFFF'].map(keyOf);
const UNFIT = ['0000010000', '0022222223', '00FFFFFFFE', '8000000000'];

function keyOf(begin: string): Key {
  return parseKey(begin.padEnd(36, '0'));
}

function batchOf(keys: readonly Key[]) {
  const { length: count } = keys;
  return {
    count,
    keys: Buffer.concat(keys),
    lsns: new BigUint64Array(count).fill(LSN),
    values: BYTES,
    starts: new Uint32Array(count),
    lengths: new Uint32Array(count).fill(1),
    willInit: new Uint8Array(count),
  };
}

/** The error of a put that may throw, or reject. */
function refusal(put: () => unknown) {
  return storageErrorOf((async () => put())());
}

describe.each(UNFIT)('a key that begins with %s', (begin) => {
  const key = keyOf(begin);

  it('a key that no pageserver can hold is refused by a delta writer, one by one and in a batch', async () => {
    await using writer = await DeltaLayerWriter.create(
      deltaOptions(memoryDisk(), { keyRange: KEY_RANGE }),
    );
    const puts = [
      () => writer.putSerialized(key, LSN, BYTES, false),
      () => writer.putBatch(batchOf([key])),
    ];
    for (const put of puts) {
      const error = await refusal(put);
      expect(error).toMatchObject({ code: 'out-of-range', key: begin.padEnd(36, '0') });
      expect(error.message).toContain('pageserver');
    }
    expect(writer.entryCount).toBe(0);
  });

  it('a key that no pageserver can hold is refused by an image writer', async () => {
    await using writer = await ImageLayerWriter.create(
      imageOptions(memoryDisk(), { keyRange: KEY_RANGE }),
    );
    const error = await refusal(() => writer.put(key, BYTES));
    expect(error).toMatchObject({ code: 'out-of-range', key: begin.padEnd(36, '0') });
    expect(writer.entryCount).toBe(0);
  });

  it('a key that no pageserver can hold is refused by an ephemeral layer, one by one and in a batch', async () => {
    const { openFiles } = memoryDisk();
    await using layer = await EphemeralLayer.create({
      directory: DIRECTORY,
      ...IDS,
      startLsn: LSN,
      openFiles,
    });
    for (const put of [
      () => layer.putSerialized(key, LSN, BYTES, false),
      () => layer.putBatch(batchOf([key])),
    ]) {
      expect(await refusal(put)).toMatchObject({ code: 'out-of-range' });
    }
  });

  it('a key that no pageserver can hold is accepted if that is requested', async () => {
    const options = { keyRange: KEY_RANGE, keyCheck: 'ignore' } as const;
    await using delta = await DeltaLayerWriter.create(deltaOptions(memoryDisk(), options));
    await delta.putSerialized(key, LSN, BYTES, false);
    expect((await delta.finish()).entryCount).toBe(1);
    await using images = await ImageLayerWriter.create(imageOptions(memoryDisk(), options));
    await images.put(key, BYTES);
    expect((await images.finish()).entryCount).toBe(1);
  });
});

describe('keys that a pageserver can hold', () => {
  it('keys that a pageserver can hold are accepted by every writer', async () => {
    await using delta = await DeltaLayerWriter.create(
      deltaOptions(memoryDisk(), { keyRange: KEY_RANGE }),
    );
    await delta.putBatch(batchOf(FIT));
    expect((await delta.finish()).entryCount).toBe(FIT.length);
    await using images = await ImageLayerWriter.create(
      imageOptions(memoryDisk(), { keyRange: KEY_RANGE }),
    );
    for (const key of FIT) await images.put(key, BYTES);
    expect((await images.finish()).entryCount).toBe(FIT.length);
    const { openFiles } = memoryDisk();
    await using layer = await EphemeralLayer.create({
      directory: DIRECTORY,
      ...IDS,
      startLsn: LSN,
      openFiles,
    });
    await layer.putBatch(batchOf(FIT));
    await layer.freeze(LSN + 1n);
    expect((await layer.writeDelta()).entryCount).toBe(FIT.length);
  });
});
