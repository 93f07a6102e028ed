/** Layers of which the whole index is gone: keys come from WAL records, or are not known. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { formatLayerName } from '../../../src/layers/layer-name.ts';
import { formatLsn, type LsnRange } from '../../../src/layers/lsn.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { salvageLayer } from '../../../src/reshape/salvage/salvage-layer.ts';
import type { UnkeyedBlob } from '../../../src/reshape/salvage/unkeyed-blobs.ts';
import { lineOf } from '../../support/damaged-layers.ts';
import { DIRECTORY, IDS, memoryDisk, namesOn, noise } from '../../support/layers.ts';
import { EVERYTHING } from '../../support/random-layers.ts';
import {
  keyOfBlock,
  type RecordEntry,
  recordEntries,
  unfinishedLayer,
} from '../../support/record-layers.ts';

function temporaryName({ start, end }: LsnRange): string {
  return `/in/${'0'.repeat(36)}-XXX__${formatLsn(start)}-${formatLsn(end)}.1f.___temp`;
}

async function salvaged(bytes: Uint8Array, path: string) {
  const disk = memoryDisk();
  const { openFiles } = disk;
  const unkeyed: UnkeyedBlob[] = [];
  const made = await salvageLayer(bytesSource(bytes, path), {
    ...{ directory: DIRECTORY, openFiles, ...IDS },
    onUnkeyed: (blob) => void unkeyed.push(blob),
  });
  const lines: string[] = [];
  if (made.layer === undefined) expect(namesOn(disk)).toEqual([]);
  else {
    await using reader = await openLayer(made.layer.path, { openFiles });
    for await (const { key, lsn, bytes: content } of reader.entries()) {
      lines.push(lineOf(key, lsn, content));
    }
  }
  return { made, lines, unkeyed };
}

function linesOf(entries: readonly RecordEntry[]): string[] {
  return entries.map(({ key, lsn, value }) => lineOf(key, lsn, value));
}

const record = fc.record({
  blocks: fc.uniqueArray(fc.nat(6), { minLength: 1, maxLength: 3 }),
  dataLength: fc.oneof(fc.nat(60), fc.nat(2000), fc.constant(9000)),
});
const elsewhere = fc.record({ blocks: fc.constant([]), dataLength: fc.nat(300) });

describe('an unfinished layer of WAL records', () => {
  test('has all of them again if it has all records of the WAL', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 30 }), async (plan) => {
        const { entries, lsnRange } = recordEntries(plan);
        const bytes = await unfinishedLayer(entries, lsnRange);
        const { made, lines } = await salvaged(bytes, temporaryName(lsnRange));
        expect(lines).toEqual(linesOf(entries));
        expect(made).toMatchObject({ unkeyed: 0, recovered: entries.length });
        expect(made.layer?.name).toContain(
          `${formatLsn(lsnRange.start)}-${formatLsn(lsnRange.end)}`,
        );
      }),
      { numRuns: 20 },
    );
  });

  test('never has one at another key or LSN, whatever is missing', async () => {
    const plans = fc.array(fc.oneof(record, record, elsewhere), { minLength: 1, maxLength: 30 });
    const kept = fc.infiniteStream(fc.integer({ min: 0, max: 9 }));
    await fc.assert(
      fc.asyncProperty(plans, kept, fc.boolean(), async (plan, stream, isNamed) => {
        const { entries, lsnRange } = recordEntries(plan);
        const some = entries.filter(() => (stream.next().value ?? 0) > 1);
        if (some.length === 0) return;
        const bytes = await unfinishedLayer(some, lsnRange);
        const path = isNamed ? temporaryName(lsnRange) : '/in/1.___temp';
        const { made, lines, unkeyed } = await salvaged(bytes, path);
        const all = new Set(linesOf(some));
        expect(lines.filter((line) => !all.has(line))).toEqual([]);
        expect(lines.length + unkeyed.length).toBe(some.length);
        expect(made.unkeyed).toBe(unkeyed.length);
        expect(made.lostCount > 0).toBe(unkeyed.length > 0 || !isNamed);
      }),
      { numRuns: 40 },
    );
  });

  test('loses images, which name no block, and says where they are', async () => {
    const { entries, lsnRange } = recordEntries([
      { blocks: [1], dataLength: 50 },
      { blocks: [3], dataLength: 50 },
    ]);
    const image = encodeValue({ type: 'image', bytes: noise(8192, 1) });
    const [first, second] = entries as [RecordEntry, RecordEntry];
    const between = { key: keyOfBlock(2), lsn: first.lsn, value: image };
    const bytes = await unfinishedLayer([first, between, second], lsnRange);
    const { made, lines, unkeyed } = await salvaged(bytes, temporaryName(lsnRange));
    expect(lines).toEqual(linesOf(entries));
    const offset = 8192 + 1 + first.value.length;
    expect(unkeyed).toEqual([
      {
        ...{ offset, storedLength: 4 + image.length, length: image.length },
        ...{ type: 'image', reason: 'no-record' },
      },
    ]);
    expect(made.lost).toMatchObject([
      { offset, length: 4 + image.length, count: 1, error: { code: 'corrupt', offset } },
    ]);
  });

  test('does not have a record whose checksum is wrong', async () => {
    const { entries, lsnRange } = recordEntries([{ blocks: [1], dataLength: 50 }]);
    const bytes = await unfinishedLayer(entries, lsnRange);
    const at = 8192 + 60;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const { made, unkeyed } = await salvaged(bytes, temporaryName(lsnRange));
    expect(made).toMatchObject({ layer: undefined, recovered: 0, unkeyed: 1 });
    expect(unkeyed).toMatchObject([{ reason: 'no-record' }]);
  });
});

describe('an image layer without a leaf', () => {
  test('has no keys, and no layer is made', async () => {
    const bytes = Buffer.concat([Buffer.alloc(8192), Buffer.from([5, 1, 2, 3, 4, 5, 2, 9, 9])]);
    const path = `/in/${formatLayerName({ kind: 'image', keyRange: EVERYTHING, lsn: 0x1000n })}.2.___temp`;
    const { made, unkeyed } = await salvaged(bytes, path);
    expect(made).toMatchObject({ layer: undefined, unkeyed: 2, lostCount: 1 });
    expect(unkeyed.map(({ offset, type }) => [offset, type])).toEqual([
      [8192, 'image'],
      [8198, 'image'],
    ]);
  });
});

describe('a file that is too short for a layer', () => {
  test('is lost as a whole', async () => {
    const { made } = await salvaged(noise(100, 1), '/in/a');
    expect(made).toMatchObject({
      ...{ layer: undefined, recovered: 0, lostCount: 1 },
      lost: [{ offset: 0, length: 100, error: { code: 'truncated' } }],
    });
  });
});
