import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import type { EntryBatch, LayerEntry } from '../../../src/layers/layer-file/entry-batch.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { blockKey, drain, hex, LSN_RANGE } from '../../support/layers.ts';
import { COUNT, DELTA, IMAGES } from '../../support/sample-layers.ts';

/** All of them look at the entries' keys, LSNs and marks, in another order. */
const LOOKS: readonly [string, (batch: EntryBatch) => void][] = [
  ['keys', (batch) => void batch.keys],
  ['LSNs', (batch) => void batch.lsns],
  ['marks', (batch) => void batch.willInit],
  ['one key', (batch) => void batch.key(0)],
  ['one LSN', (batch) => void batch.lsn(0)],
  ['one entry', (batch) => void batch.entry(0)],
  ['contents', (batch) => void batch.bytes(batch.count - 1)],
];

describe.each(LOOKS)('a batch of which the %s are looked at first', (_, look) => {
  it.each([
    ['a delta layer', DELTA, undefined],
    ['a delta layer, some LSNs', DELTA, { start: LSN_RANGE.start + 1n, end: LSN_RANGE.start + 2n }],
    ['an image layer', IMAGES, undefined],
  ])('has the entries of %s', async (_name, { bytes }, lsnRange) => {
    const reader = await openLayer(bytesSource(bytes));
    const expected = await drain(reader.entries({ lsnRange }));
    let at = 0;
    const walked: LayerEntry[] = [];
    for await (const batch of reader.batches({ lsnRange })) {
      look(batch);
      for (const entry of batch) walked.push(entry);
      const { count, keys, lsns, willInit } = batch;
      for (let index = 0; index < count; index += 1, at += 1) {
        const entry = expected[at];
        expect(hex(keys.subarray(index * 18, (index + 1) * 18))).toBe(hex(entry?.key));
        expect(hex(batch.key(index))).toBe(hex(entry?.key));
        expect(lsns[index]).toBe(entry?.lsn);
        expect(willInit[index] === 1).toBe(entry?.willInit);
        expect(hex(batch.bytes(index))).toBe(hex(entry?.bytes));
      }
    }
    // They outlive their batches.
    expect(walked).toEqual(expected);
    expect(at).toBe(expected.length);
    expect(at).toBeGreaterThan(0);
  });
});

describe('arrays that are held', () => {
  it.each([
    ['a delta layer', DELTA],
    ['an image layer', IMAGES],
  ])('all show the batch that was asked for last, of %s', async (_name, { bytes }) => {
    const reader = await openLayer(bytesSource(bytes));
    const expected = await drain(reader.entries());
    // In the first batch one of them is looked at, in the second the others, then none.
    const iterator = reader.batches();
    const first = (await iterator.next()).value as EntryBatch;
    const { lsns, offsets } = first;
    let at = first.count;
    const second = (await iterator.next()).value as EntryBatch;
    const { keys, willInit, lengths } = second;
    let batch: EntryBatch | undefined = second;
    let batches = 1;
    while (batch !== undefined) {
      for (let index = 0; index < batch.count; index += 1, at += 1) {
        const entry = expected[at];
        expect(hex(keys.subarray(index * 18, (index + 1) * 18))).toBe(hex(entry?.key));
        expect(lsns[index]).toBe(entry?.lsn);
        expect(willInit[index] === 1).toBe(entry?.willInit);
        expect(offsets[index]).toBe(entry?.offset);
        if (entry?.compressed === false) expect(lengths[index]).toBe(entry.bytes.length);
      }
      batches += 1;
      batch = (await iterator.next()).value as EntryBatch | undefined;
    }
    expect(at).toBe(expected.length);
    expect(batches).toBeGreaterThan(2);
  });
});

it('each batch has the keys and LSNs that were written, where the first one was looked at', async () => {
  const reader = await openLayer(bytesSource(DELTA.bytes));
  let at = 0;
  for await (const { count, keys, lsns } of reader.batches()) {
    for (let index = 0; index < count; index += 1, at += 1) {
      const key = keys.subarray(index * 18, (index + 1) * 18);
      expect(hex(key)).toBe(hex(blockKey(Math.floor(at / 3))));
      expect(lsns[index]).toBe(LSN_RANGE.start + BigInt(at % 3));
    }
  }
  expect(at).toBe(COUNT);
});
