import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ViewedBytes } from '../../../src/byte-words.ts';
import { type Border, LayerLine } from '../../../src/ingest/pipeline/layer-line.ts';
import { localLayers, type OpenLayers } from '../../../src/ingest/pipeline/open-layers.ts';
import { type RecordPutSizes, RecordPuts } from '../../../src/ingest/pipeline/record-puts.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { formatKey } from '../../../src/layers/key.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { formatLsn, type Lsn } from '../../../src/layers/lsn.ts';
import { decodeValue, encodeValue } from '../../../src/layers/value-format.ts';
import { relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { blockKey } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const IDS = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };
const START = 0x1000n;

/** What a record puts: blocks, and whether each is initialized. */
type Record = readonly {
  readonly block: number;
  readonly willInit: boolean;
  readonly length: number;
}[];

/** Each is 8 bytes of WAL, so that its LSN follows from its number. */
const records = fc.array(
  fc.array(
    fc.record({
      block: fc.nat({ max: 6 }),
      willInit: fc.boolean(),
      length: fc.constantFrom(0, 1, 24, 300),
    }),
    { maxLength: 4 },
  ),
  { minLength: 1, maxLength: 60 },
);

function lsnOf(number: number): Lsn {
  return START + 8n * BigInt(number);
}

function bytesOf(number: number, at: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(number * 7 + at);
}

interface Line {
  readonly puts: RecordPuts;
  readonly line: LayerLine;
  readonly passedOn: { readonly border: Border; readonly layers: readonly FinishedLayer[] }[];
}

async function startLine(
  directory: string,
  startLsn: Lsn,
  sizes: RecordPutSizes = SIZES,
): Promise<Line> {
  const passedOn: Line['passedOn'] = [];
  const place = { ...IDS, directory, generation: undefined, ioMode: undefined };
  const line = await LayerLine.create(localLayers(place), {
    startLsn,
    onBorder: async (border, layers) => {
      passedOn.push({ border, layers });
    },
  });
  return { puts: new RecordPuts(line, 2, sizes), line, passedOn };
}

/** No record is large. */
const SIZES = { record: 2 ** 30, layer: 2 ** 30 };
const noBorder = () => undefined;

function putRecord(puts: RecordPuts, number: number, record: Record): void {
  puts.begin(noBorder);
  for (const [at, { block, willInit, length }] of record.entries()) {
    puts.putRecord(blockKey(block), lsnOf(number), willInit, bytesOf(number, at, length));
  }
}

/** Entries as lines, the last value of each key and LSN. */
function expectedEntries(all: readonly Record[]): Map<string, string> {
  const entries = new Map<string, string>();
  for (const [index, record] of all.entries()) {
    for (const [at, { block, willInit, length }] of record.entries()) {
      const number = index + 1;
      const name = `${formatKey(blockKey(block))} ${formatLsn(lsnOf(number))}`;
      const bytes = Buffer.from(bytesOf(number, at, length));
      entries.set(name, `${willInit} ${bytes.toString('hex')}`);
    }
  }
  return entries;
}

async function entriesOf(layers: readonly FinishedLayer[]) {
  const entries = new Map<string, string>();
  for (const layer of layers) {
    await using reader = await DeltaLayerReader.open(layer.path);
    for await (const { key, lsn, bytes, willInit } of reader.entries()) {
      const name = `${formatKey(key)} ${formatLsn(lsn)}`;
      expect(entries.has(name)).toBe(false);
      const value = decodeValue(bytes);
      if (value.type !== 'wal') throw new Error('not a record');
      expect(value.willInit).toBe(willInit);
      entries.set(name, `${willInit} ${Buffer.from(value.bytes).toString('hex')}`);
    }
  }
  return entries;
}

const sorted = (entries: Map<string, string>) => [...entries].sort();

describe('a line of layers', () => {
  it('a line of layers holds every value once, wherever layers end and wherever the ingest is cut and continued', async () => {
    await fc.assert(
      fc.asyncProperty(
        records,
        fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 3 }),
        async (all, pauses, lives) => {
          const made: FinishedLayer[] = [];
          let done = 0;
          let pause = 0;
          for (let life = 0; done < all.length; life += 1) {
            // A cut after N records; the last life is not cut.
            const records = lives[life] ?? Number.POSITIVE_INFINITY;
            const directory = temporaryDirectory();
            const { puts, line, passedOn } = await startLine(directory, lsnOf(done) + 1n);
            let number = done;
            let untilFreeze = pauses[0] as number;
            for (let count = 0; number < all.length && count < records; count += 1) {
              number += 1;
              putRecord(puts, number, all[number - 1] as Record);
              if (untilFreeze > 0) {
                untilFreeze -= 1;
                continue;
              }
              pause += 1;
              untilFreeze = pauses[pause % pauses.length] as number;
              await puts.freeze({ lastLsn: lsnOf(number), previousLsn: lsnOf(number - 1) });
            }
            if (records === Number.POSITIVE_INFINITY) {
              await puts.freeze({ lastLsn: lsnOf(number), previousLsn: lsnOf(number - 1) });
            }
            await line.close();
            for (const { border, layers } of passedOn) {
              expect(border.lastLsn).toBeGreaterThan(lsnOf(done));
              expect(layers.length).toBeLessThanOrEqual(1);
              for (const { name } of layers) {
                expect(name).toContain(`__${formatLsn(lsnOf(done) + 1n)}-`);
                expect(name.endsWith(formatLsn(border.lastLsn + 1n))).toBe(true);
              }
              done = Number((border.lastLsn - START) / 8n);
              made.push(...layers);
            }
          }
          expect(sorted(await entriesOf(made))).toEqual(sorted(expectedEntries(all)));
        },
      ),
      { numRuns: rounds(30) },
    );
  });

  it('a line of layers finds its values in the batch, the open layer and the frozen one, newest first', async () => {
    const { puts, line } = await startLine(temporaryDirectory(), START);
    const record = [{ block: 1, willInit: false, length: 24 }];
    putRecord(puts, 1, [{ block: 1, willInit: true, length: 24 }]);
    putRecord(puts, 2, record);
    await puts.freeze({ lastLsn: lsnOf(2), previousLsn: lsnOf(1) });
    putRecord(puts, 3, record);
    await puts.flush();
    putRecord(puts, 4, record);
    // Replaced by the second value of the same record.
    putRecord(puts, 5, [...record, { block: 1, willInit: false, length: 1 }]);
    const numbersAt = async (lsn: Lsn) =>
      (await puts.versions(blockKey(1), lsn)).map(({ lsn }) => Number((lsn - START) / 8n));
    puts.begin(noBorder);
    // The frozen layer leaves the line when it has been passed on.
    expect((await numbersAt(lsnOf(9))).slice(0, 3)).toEqual([5, 4, 3]);
    await line.drained();
    expect(await numbersAt(lsnOf(9))).toEqual([5, 4, 3]);
    expect(await numbersAt(lsnOf(4))).toEqual([4, 3]);
    const [newest] = await puts.versions(blockKey(1), lsnOf(9));
    expect(newest?.bytes.length).toBe(
      encodeValue({ type: 'wal', willInit: false, bytes: new Uint8Array(1) }).length,
    );
    expect(await puts.versions(blockKey(2), lsnOf(9))).toEqual([]);
    await line.close();
  });

  it('a line of layers finds a size that was put, and does not look for one that was not', async () => {
    let reads = 0;
    const place = { ...IDS, directory: temporaryDirectory(), generation: undefined };
    const layers = localLayers({ ...place, ioMode: undefined });
    const counted: OpenLayers = {
      open: async (startLsn) => {
        const layer = await layers.open(startLsn);
        const versions = layer.versions.bind(layer);
        layer.versions = (...wanted) => {
          reads += 1;
          return versions(...wanted);
        };
        return layer;
      },
      close: () => layers.close(),
    };
    const line = await LayerLine.create(counted, { startLsn: START, onBorder: async () => {} });
    const puts = new RecordPuts(line, 2, SIZES);
    const sizeKey = (relnode: number) =>
      relationSizeKey({ spcnode: 1663, dbnode: 5, relnode, fork: 'main' });
    const value = encodeValue({ type: 'image', bytes: Uint8Array.of(7, 0, 0, 0) });
    puts.begin(noBorder);
    puts.put(sizeKey(1), lsnOf(1), true, value);
    puts.beginRows(0, Number(lsnOf(1)));
    puts.putRow(new ViewedBytes(sizeKey(2)), true, new ViewedBytes(value));
    await puts.flush();
    for (const relnode of [1, 2]) {
      const [found] = await puts.versions(sizeKey(relnode), lsnOf(9));
      expect(found?.bytes).toEqual(value);
    }
    expect(reads).toBe(2);
    expect(await puts.versions(sizeKey(3), lsnOf(9))).toEqual([]);
    expect(reads).toBe(2);
    await line.close();
  });

  it('a line of layers closes a layer that has been passed on only after a read of it has ended', async () => {
    const place = { ...IDS, directory: temporaryDirectory(), generation: undefined };
    const layers = localLayers({ ...place, ioMode: undefined });
    let endRead = () => {};
    const held = new Promise<void>((resolve) => {
      endRead = resolve;
    });
    const steps: string[] = [];
    const slowly: OpenLayers = {
      async open(startLsn) {
        const layer = await layers.open(startLsn);
        return {
          put: (batch) => layer.put(batch),
          freeze: (endLsn) => layer.freeze(endLsn),
          finish: (keyRange) => layer.finish(keyRange),
          async versions(key, lsn) {
            if (startLsn === START) await held;
            const found = await layer.versions(key, lsn);
            steps.push(`${found.length} read`);
            return found;
          },
          async close() {
            steps.push('closed');
            await layer.close();
          },
        };
      },
      close: () => layers.close(),
    };
    const onBorder = async () => {
      steps.push('passed on');
    };
    const line = await LayerLine.create(slowly, { startLsn: START, onBorder });
    const puts = new RecordPuts(line, 2, SIZES);
    putRecord(puts, 1, [{ block: 1, willInit: true, length: 24 }]);
    await puts.freeze({ lastLsn: lsnOf(1), previousLsn: null });
    const found = puts.versions(blockKey(1), lsnOf(9));
    await expect.poll(() => steps).toContain('passed on');
    endRead();
    expect(await found).toHaveLength(1);
    await line.drained();
    expect(steps).toEqual(['0 read', 'passed on', '1 read', 'closed']);
    await line.close();
  });

  it('a line of layers removes what a record has put, however much it was', async () => {
    const { puts, line, passedOn } = await startLine(temporaryDirectory(), START);
    putRecord(puts, 1, [{ block: 1, willInit: true, length: 24 }]);
    puts.begin(noBorder);
    for (let block = 0; block < 5000; block += 1) {
      puts.put(
        blockKey(block),
        lsnOf(2),
        true,
        encodeValue({ type: 'image', bytes: new Uint8Array(8192) }),
      );
    }
    puts.rollBack();
    putRecord(puts, 3, [{ block: 2, willInit: false, length: 1 }]);
    await puts.freeze({ lastLsn: lsnOf(3), previousLsn: lsnOf(1) });
    await line.drained();
    const entries = await entriesOf(passedOn.flatMap(({ layers }) => layers));
    const kept = expectedEntries([
      [{ block: 1, willInit: true, length: 24 }],
      [],
      [{ block: 2, willInit: false, length: 1 }],
    ]);
    expect(sorted(entries)).toEqual(sorted(kept));
    await line.close();
  });

  describe('with a record of more values than a batch should hold', () => {
    const SMALL = { record: 1000, layer: 3000 };
    const large = Array.from({ length: 60 }, (_, block) => ({
      block,
      willInit: true,
      length: 300,
    }));
    const small = [{ block: 1, willInit: true, length: 24 }];
    const BORDER = { lastLsn: lsnOf(1), previousLsn: null };

    /** As the ingest of a record does; makes room with the next key, or without one. */
    async function putLarge(
      puts: RecordPuts,
      number: number,
      { order = large, isSplit = true }: { order?: Record; isSplit?: boolean } = {},
    ): Promise<void> {
      for (const { block, willInit, length } of order) {
        const key = blockKey(block);
        if (puts.isCrowded) await puts.makeRoom(lsnOf(number), isSplit ? key : undefined);
        const at = large.findIndex((value) => value.block === block);
        puts.putRecord(key, lsnOf(number), willInit, bytesOf(number, at, length));
      }
    }

    it('ends the layer before it, and fills layers of the same LSNs that follow each other in keys', async () => {
      const { puts, line, passedOn } = await startLine(temporaryDirectory(), START, SMALL);
      putRecord(puts, 1, small);
      puts.begin(() => BORDER);
      await putLarge(puts, 2);
      expect(puts.isSplit).toBe(true);
      await line.drained();
      expect(passedOn.map(({ border }) => border)).toEqual([BORDER]);
      await puts.freeze({ lastLsn: lsnOf(2), previousLsn: lsnOf(1) });
      expect(puts.isSplit).toBe(false);
      // Without waiting for it: a split layer is passed on before the next record.
      expect(passedOn.map(({ layers }) => layers.length)).toEqual([1, 5]);
      putRecord(puts, 3, small);
      await puts.freeze({ lastLsn: lsnOf(3), previousLsn: lsnOf(2) });
      await line.drained();
      const parts = passedOn[1]?.layers.map(({ name }) => name.split('__')) ?? [];
      expect(new Set(parts.map(([, lsns]) => lsns)).size).toBe(1);
      const keys = parts.map(([range = '']) => range.split('-'));
      expect(keys.map(([start]) => start)).toEqual([
        '0'.repeat(36),
        ...keys.slice(0, -1).map(([, end]) => end),
      ]);
      expect(keys.at(-1)?.[1]).toBe('F'.repeat(36));
      const entries = await entriesOf(passedOn.flatMap(({ layers }) => layers));
      expect(sorted(entries)).toEqual(sorted(expectedEntries([small, large, small])));
      await line.close();
    });

    it('fills one layer if its values come in no order, however large it gets', async () => {
      const { puts, line, passedOn } = await startLine(temporaryDirectory(), START, SMALL);
      puts.begin(noBorder);
      await putLarge(puts, 1, { order: large.toReversed(), isSplit: false });
      expect(puts.isSplit).toBe(false);
      expect(puts.size).toBeGreaterThan(18_000);
      await puts.freeze({ lastLsn: lsnOf(1), previousLsn: null });
      await line.drained();
      expect(passedOn.map(({ layers }) => layers.length)).toEqual([1]);
      const entries = await entriesOf(passedOn.flatMap(({ layers }) => layers));
      expect(sorted(entries)).toEqual(sorted(expectedEntries([large])));
      await line.close();
    });

    it.each([true, false])(
      'has stored nothing if it fails, and everything before it (split: %s)',
      async (isSplit) => {
        const directory = temporaryDirectory();
        const { puts, line, passedOn } = await startLine(directory, START, SMALL);
        putRecord(puts, 1, small);
        puts.begin(() => BORDER);
        await putLarge(puts, 2, { isSplit });
        puts.rollBack();
        await line.drained();
        await line.close();
        expect(passedOn.map(({ border }) => border)).toEqual([BORDER]);
        const entries = await entriesOf(passedOn.flatMap(({ layers }) => layers));
        expect(sorted(entries)).toEqual(sorted(expectedEntries([small])));
      },
    );

    it('reads what earlier records put, and does not search its own values', async () => {
      const { puts, line } = await startLine(temporaryDirectory(), START, SMALL);
      putRecord(puts, 1, small);
      puts.begin(() => BORDER);
      puts.putRecord(blockKey(1), lsnOf(2), true, bytesOf(2, 0, 24));
      const [before] = await puts.versions(blockKey(1), lsnOf(2));
      expect(before?.lsn).toBe(lsnOf(1));
      await line.close();
    });

    it('refuses a key of a layer that has been split off', async () => {
      const { puts, line } = await startLine(temporaryDirectory(), START, SMALL);
      puts.begin(noBorder);
      await putLarge(puts, 1);
      const put = () => puts.putRecord(blockKey(0), lsnOf(1), true, bytesOf(1, 0, 24));
      expect(put).toThrow(
        expect.objectContaining({ code: 'too-large', key: formatKey(blockKey(0)) }),
      );
      await line.close();
    });

    it('fails if a layer of it cannot be written, and the line with it', async () => {
      const place = { ...IDS, directory: temporaryDirectory(), generation: undefined };
      const layers = localLayers({ ...place, ioMode: undefined });
      const failing: OpenLayers = {
        open: async (startLsn) => {
          const layer = await layers.open(startLsn);
          layer.finish = async () => {
            throw new Error('no room on the disk');
          };
          return layer;
        },
        close: () => layers.close(),
      };
      const onBorder = async () => {};
      const line = await LayerLine.create(failing, { startLsn: START, onBorder });
      const puts = new RecordPuts(line, 2, SMALL);
      puts.begin(noBorder);
      await expect(putLarge(puts, 1)).rejects.toThrow('no room on the disk');
      await expect(line.drained()).rejects.toThrow('no room on the disk');
      await line.close();
    });
  });

  it('a line of layers passes a border on without a layer if no record put a value', async () => {
    const { puts, line, passedOn } = await startLine(temporaryDirectory(), START);
    const border = { lastLsn: lsnOf(1), previousLsn: null };
    await puts.freeze(border);
    await line.drained();
    expect(passedOn).toEqual([{ border, layers: [] }]);
    await line.close();
  });

  it('a line of layers throws at the next border what kept a layer from being passed on', async () => {
    const directory = temporaryDirectory();
    const place = { ...IDS, directory, generation: undefined, ioMode: undefined };
    const line = await LayerLine.create(localLayers(place), {
      startLsn: START,
      onBorder: async () => {
        throw new Error('no room in the bucket');
      },
    });
    const puts = new RecordPuts(line, 2, SIZES);
    putRecord(puts, 1, [{ block: 1, willInit: true, length: 1 }]);
    await puts.freeze({ lastLsn: lsnOf(1), previousLsn: null });
    putRecord(puts, 2, [{ block: 1, willInit: true, length: 1 }]);
    await expect(puts.freeze({ lastLsn: lsnOf(2), previousLsn: lsnOf(1) })).rejects.toThrow(
      'no room',
    );
    await expect(line.drained()).rejects.toThrow('no room');
    await line.close();
  });
});
