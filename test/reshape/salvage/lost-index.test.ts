/** Layers of which the whole index is gone: keys come from WAL records, or are not known. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { formatLayerName } from '../../../src/layers/layer-name.ts';
import { formatLsn, type LsnRange } from '../../../src/layers/lsn.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { type SalvagedFile, salvageLayer } from '../../../src/reshape/salvage/salvage-layer.ts';
import type { UnkeyedBlob } from '../../../src/reshape/salvage/unkeyed-blobs.ts';
import { lineOf } from '../../support/damaged-layers.ts';
import { DIRECTORY, IDS, memoryDisk, namesOn, noise } from '../../support/layers.ts';
import { EVERYTHING } from '../../support/random-layers.ts';
import {
  keyOfBlock,
  layerWithoutIndex,
  type RecordEntry,
  recordEntries,
  unfinishedLayer,
} from '../../support/record-layers.ts';
import { rounds } from '../../support/rounds.ts';

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
  test('an unfinished layer of WAL records has all its records again if they are all of the WAL', async () => {
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
      { numRuns: rounds(20) },
    );
  });

  test('an unfinished layer of WAL records never has one at another key or LSN, whatever is missing', async () => {
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
      { numRuns: rounds(40) },
    );
  });

  test('an unfinished layer of WAL records loses images, which name no block, and says where they are', async () => {
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

  test('an unfinished layer of WAL records does not have a record whose checksum is wrong', async () => {
    const { entries, lsnRange } = recordEntries([{ blocks: [1], dataLength: 50 }]);
    const bytes = await unfinishedLayer(entries, lsnRange);
    const at = 8192 + 60;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const { made, unkeyed } = await salvaged(bytes, temporaryName(lsnRange));
    expect(made).toMatchObject({ layer: undefined, recovered: 0, unkeyed: 1 });
    expect(unkeyed).toMatchObject([{ reason: 'no-record' }]);
  });

  test('an unfinished layer of WAL records does not have a record whose will_init is wrong, which no checksum covers', async () => {
    const { entries, lsnRange } = recordEntries([
      { blocks: [1], dataLength: 50 },
      { blocks: [3], dataLength: 50 },
    ]);
    const bytes = await unfinishedLayer(entries, lsnRange);
    const willInitAt = 8192 + 1 + 8;
    expect(bytes[willInitAt]).toBe(0);
    bytes[willInitAt] = 1;
    const { lines, unkeyed } = await salvaged(bytes, temporaryName(lsnRange));
    expect(lines).toEqual(linesOf(entries.slice(1)));
    expect(unkeyed).toMatchObject([{ offset: 8192, reason: 'init-differs' }]);
  });
});

/** What a salvage has to account for: every byte of the values is in the new layer, or in a lost range. */
function coveredBytes(
  entries: readonly RecordEntry[],
  lines: readonly string[],
  lost: SalvagedFile['lost'],
): Set<number> {
  const covered = new Set<number>();
  const found = new Set(lines);
  let offset = 8192;
  const add = (start: number, length: number) => {
    for (let at = start; at < start + length; at += 1) covered.add(at);
  };
  for (const { key, lsn, value } of entries) {
    const size = (value.length < 128 ? 1 : 4) + value.length;
    if (found.has(lineOf(key, lsn, value))) add(offset, size);
    offset += size;
  }
  for (const range of lost) add(range.offset ?? 0, range.length ?? 0);
  return covered;
}

describe('an unfinished layer with damage in its values', () => {
  const damage = fc.record({
    kind: fc.constantFrom('zeros', 'noise', 'flip'),
    at: fc.nat(0xffff),
    length: fc.integer({ min: 1, max: 9000 }),
  });

  test('has what follows the damage, nothing else, and accounts for every other byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 30 }),
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        async (plan, damages) => {
          const { entries, lsnRange } = recordEntries(plan);
          const sizes = entries.map(({ value }) => (value.length < 128 ? 1 : 4) + value.length);
          const end = 8192 + sizes.reduce((sum, size) => sum + size, 0);
          const bytes = await unfinishedLayer(entries, lsnRange);
          for (const { kind, at, length } of damages) {
            const start = 8192 + Math.floor((at * (end - 8192)) / 0x1_0000);
            const size = kind === 'flip' ? 1 : Math.min(length, end - start);
            if (kind === 'flip') bytes[start] = (bytes[start] ?? 0) ^ 1;
            else if (kind === 'zeros') bytes.fill(0, start, start + size);
            else bytes.set(noise(size, at), start);
          }
          const { made, lines } = await salvaged(bytes, temporaryName(lsnRange));
          const all = new Set(linesOf(entries));
          expect(lines.filter((line) => !all.has(line))).toEqual([]);
          const covered = coveredBytes(entries, lines, made.lost);
          let last = end;
          while (last > 8192 && bytes[last - 1] === 0) last -= 1;
          for (let at = 8192; at < last; at += 1) {
            if (!covered.has(at)) throw new Error(`byte ${at} is neither there nor lost`);
          }
        },
      ),
      { numRuns: rounds(40) },
    );
  });

  test.each([
    ['zeros', 0],
    ['other bytes', 0xff],
  ])('has the records after a block of %s, and says what is lost between', async (_, byte) => {
    const plan = Array.from({ length: 200 }, () => ({ blocks: [1], dataLength: 500 }));
    const { entries, lsnRange } = recordEntries(plan);
    const bytes = await unfinishedLayer(entries, lsnRange);
    bytes.fill(byte, 5 * 8192, 6 * 8192);
    const { made, lines } = await salvaged(bytes, temporaryName(lsnRange));
    const size = 4 + (entries[0]?.value.length ?? 0);
    const first = Math.floor((4 * 8192) / size);
    const next = Math.ceil((5 * 8192) / size);
    // That the record after the gap follows it, nothing tells; nor which one the last one before it is.
    expect(lines).toEqual(
      linesOf(entries).filter((line, at) => lines.includes(line) && (at < first || at >= next)),
    );
    expect(lines.length).toBeGreaterThan(entries.length - (next - first) - 3);
    const lost = made.lost.reduce((sum, { length = 0 }) => sum + length, 0);
    expect(lost).toBe((entries.length - lines.length) * size);
  });

  test('says how many bytes are lost where nothing of the rest can be read', async () => {
    const { entries, lsnRange } = recordEntries([
      { blocks: [1], dataLength: 50 },
      { blocks: [3], dataLength: 9000 },
    ]);
    const bytes = await unfinishedLayer(entries, lsnRange);
    const [first] = entries as [RecordEntry];
    const start = 8192 + 1 + first.value.length;
    bytes.fill(0xff, start);
    const { made, lines } = await salvaged(bytes, temporaryName(lsnRange));
    expect(lines).toEqual([lineOf(first.key, first.lsn, first.value)]);
    expect(made.lost).toMatchObject([{ offset: start, length: bytes.length - start }]);
  });
});

describe('a layer without an index', () => {
  test('whose summary alone states the LSN of its start has no record at another LSN', async () => {
    const plans = fc.array(fc.oneof(record, elsewhere), { minLength: 2, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(plans, fc.nat(63), async (plan, bit) => {
        const { entries, lsnRange } = recordEntries(plan);
        if (entries.length === 0) return;
        const bytes = await layerWithoutIndex(entries, lsnRange);
        const start = lsnRange.start ^ (1n << BigInt(bit));
        bytes.writeBigUInt64BE(start, 72);
        const { lines } = await salvaged(bytes, '/in/a');
        const all = new Set(linesOf(entries));
        expect(lines.filter((line) => !all.has(line))).toEqual([]);
      }),
      { numRuns: rounds(60) },
    );
  });
});

describe('a layer of a shard, which has some of the blocks of its records', () => {
  test('has no record at another block, and those between which only one block fits', async () => {
    // Blocks 1 to 3 are of this shard, 4 to 6 of another one.
    const plan = Array.from({ length: 60 }, (_, index) => ({
      blocks: index % 3 === 0 ? [(index % 2) + 1, 5] : [1 + (index % 3)],
      dataLength: 40,
    }));
    const { entries: all, lsnRange } = recordEntries(plan);
    const entries = all.filter(({ key }) => (key.at(-1) ?? 0) <= 3);
    const bytes = await unfinishedLayer(entries, lsnRange);
    const { lines, unkeyed } = await salvaged(bytes, temporaryName(lsnRange));
    const right = new Set(linesOf(entries));
    expect(lines.filter((line) => !right.has(line))).toEqual([]);
    expect(lines.length + unkeyed.length).toBe(entries.length);
    expect(lines.length).toBeGreaterThan(entries.length / 2);
  });
});

describe('an image layer without a leaf', () => {
  test('an image layer without a leaf has no keys, and no layer is made', async () => {
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
  test('a file that is too short for a layer is lost as a whole', async () => {
    const { made } = await salvaged(noise(100, 1), '/in/a');
    expect(made).toMatchObject({
      ...{ layer: undefined, recovered: 0, lostCount: 1 },
      lost: [{ offset: 0, length: 100, error: { code: 'truncated' } }],
    });
  });
});
