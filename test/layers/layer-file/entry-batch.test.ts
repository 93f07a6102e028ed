import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import type { EntryBatch, LayerEntry } from '../../../src/layers/layer-file/entry-batch.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { blockKey, drain, hex, LSN_RANGE } from '../../support/layers.ts';
import { COUNT, DELTA, IMAGES } from '../../support/sample-layers.ts';

/** Columns are decoded on first use: each look is a different first use. */
const LOOKS: readonly [string, (batch: EntryBatch) => void][] = [
  ['keys', (batch) => void batch.keys],
  ['LSNs', (batch) => void batch.lsns],
  ['marks', (batch) => void batch.willInit],
  ['one key', (batch) => void batch.key(0)],
  ['one LSN', (batch) => void batch.lsn(0)],
  ['one entry', (batch) => void batch.entry(0)],
  ['contents', (batch) => void batch.bytes(batch.count - 1)],
];

/** What can be compared quickly: bytes as hex digits. */
interface Row {
  readonly key: string | undefined;
  readonly lsn: bigint | undefined;
  readonly willInit: boolean | undefined;
  readonly bytes: string | undefined;
}

function rowOf({ key, lsn, willInit, bytes }: LayerEntry): Row {
  return { key: hex(key), lsn, willInit, bytes: hex(bytes) };
}

describe.each(LOOKS)('a batch whose %s are read first', (_, look) => {
  it.each([
    ['a delta layer', DELTA, undefined],
    ['a delta layer, some LSNs', DELTA, { start: LSN_RANGE.start + 1n, end: LSN_RANGE.start + 2n }],
    ['an image layer', IMAGES, undefined],
  ])(
    'a batch has the entries of %s, whatever of it is read first',
    async (_name, { bytes }, lsnRange) => {
      const reader = await openLayer(bytesSource(bytes));
      const expected = await drain(reader.entries({ lsnRange }));
      const walked: LayerEntry[] = [];
      const rows: Row[] = [];
      const keysAlone: (string | undefined)[] = [];
      for await (const batch of reader.batches({ lsnRange })) {
        look(batch);
        for (const entry of batch) walked.push(entry);
        const { count, keys, lsns, willInit } = batch;
        for (let index = 0; index < count; index += 1) {
          const key = hex(keys.subarray(index * 18, (index + 1) * 18));
          const bytes = hex(batch.bytes(index));
          rows.push({ key, lsn: lsns[index], willInit: willInit[index] === 1, bytes });
          keysAlone.push(hex(batch.key(index)));
        }
      }
      // They outlive their batches.
      expect(walked.map(rowOf)).toEqual(expected.map(rowOf));
      expect(rows).toEqual(expected.map(rowOf));
      expect(keysAlone).toEqual(rows.map(({ key }) => key));
      expect(rows.length).toBeGreaterThan(0);
    },
  );
});

describe('arrays kept from an earlier batch', () => {
  it.each([
    ['a delta layer', DELTA],
    ['an image layer', IMAGES],
  ])('arrays kept from an earlier batch show the newest batch of %s', async (_name, { bytes }) => {
    const reader = await openLayer(bytesSource(bytes));
    const expected = await drain(reader.entries());
    // Some arrays are read in the first batch, the others in the second, and none after that.
    const iterator = reader.batches();
    const first = (await iterator.next()).value as EntryBatch;
    const { lsns, offsets } = first;
    let at = first.count;
    const second = (await iterator.next()).value as EntryBatch;
    const { keys, willInit, lengths } = second;
    let batch: EntryBatch | undefined = second;
    let batches = 1;
    while (batch !== undefined) {
      const entries = expected.slice(at, at + batch.count);
      const found = entries.map(({ compressed }, index) => ({
        key: hex(keys.subarray(index * 18, (index + 1) * 18)),
        lsn: lsns[index],
        willInit: willInit[index] === 1,
        offset: offsets[index],
        length: compressed ? undefined : lengths[index],
      }));
      expect(found).toEqual(
        entries.map(({ key, lsn, willInit: marked, offset, compressed, bytes }) => ({
          key: hex(key),
          lsn,
          willInit: marked,
          offset,
          length: compressed ? undefined : bytes.length,
        })),
      );
      at += batch.count;
      batches += 1;
      batch = (await iterator.next()).value as EntryBatch | undefined;
    }
    expect(at).toBe(expected.length);
    expect(batches).toBeGreaterThan(2);
  });
});

it('batches have the keys and LSNs that were written', async () => {
  const reader = await openLayer(bytesSource(DELTA.bytes));
  const rows: string[] = [];
  for await (const { count, keys, lsns } of reader.batches()) {
    for (let index = 0; index < count; index += 1) {
      rows.push(`${hex(keys.subarray(index * 18, (index + 1) * 18))}@${lsns[index]}`);
    }
  }
  const expected = Array.from(
    { length: COUNT },
    (_, at) => `${hex(blockKey(Math.floor(at / 3)))}@${LSN_RANGE.start + BigInt(at % 3)}`,
  );
  expect(rows).toEqual(expected);
});

it('the keys of entries share an array of at most one leaf, without contents, that stays in its thread', async () => {
  const reader = await openLayer(bytesSource(DELTA.bytes));
  const arrays = new Set<ArrayBufferLike>();
  const contents = new Set<ArrayBufferLike>();
  for (const { key, bytes } of await drain(reader.entries())) {
    arrays.add(key.buffer);
    contents.add(bytes.buffer);
  }
  for (const array of arrays) {
    expect(contents).not.toContain(array);
    expect(array.byteLength).toBeLessThanOrEqual(1366 * 18);
    // Newer versions of Node refuse the transfer, older ones make a copy.
    const transfer = async () => structuredClone(array, { transfer: [array as ArrayBuffer] });
    await transfer().catch(() => undefined);
    expect(array.byteLength).toBeGreaterThan(0);
  }
});
