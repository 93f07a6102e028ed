/**
 * Runs of plain records in WebAssembly, against the JavaScript that they stand for: the same is put, and the same
 * refused.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LayerLine } from '../../../src/ingest/pipeline/layer-line.ts';
import type { OpenLayers } from '../../../src/ingest/pipeline/open-layers.ts';
import { RecordPuts } from '../../../src/ingest/pipeline/record-puts.ts';
import { RecordIngest } from '../../../src/ingest/wal/record-ingest.ts';
import type { EphemeralEntry } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { formatKey, type Key } from '../../../src/layers/key.ts';
import type { Lsn } from '../../../src/layers/lsn.ts';
import { decodeValue } from '../../../src/layers/value-format.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walBytes } from '../../../src/wal/wal-source.ts';
import { BTREE, HEAP, HEAP2, START, TRANSACTION, XLOG } from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { rounds } from '../../support/rounds.ts';
import { type HandMadeRecord, u32, walRecord } from '../../support/wal-records.ts';
import { WalBuilder } from '../../support/wal-segments.ts';

const RUNS = Number(process.env['LAYERFILE_KERNEL_RUNS'] ?? rounds(40));
const PAGE = 8192;

afterEach(() => {
  vi.unstubAllGlobals();
});

interface Ingested {
  /** Everything in the order in which it was put. */
  readonly puts: readonly string[];
  readonly error: string | undefined;
  /** Records that runs put. */
  readonly inRuns: number;
}

/** The layers of a line, in memory. */
function layersInMemory(entries: EphemeralEntry[]): OpenLayers {
  const byKey = new Map<string, EphemeralEntry[]>();
  return {
    open: async () => ({
      put: ({ count, keys, lsns, willInit, starts, lengths, values }) => {
        for (let row = 0; row < count; row += 1) {
          const start = starts[row] as number;
          const entry = {
            key: keys.slice(18 * row, 18 * row + 18),
            lsn: lsns[row] as Lsn,
            willInit: willInit[row] === 1,
            bytes: values.slice(start, start + (lengths[row] as number)),
          };
          entries.push(entry);
          const name = formatKey(entry.key);
          byKey.set(name, [entry, ...(byKey.get(name) ?? []).slice(0, 1)]);
        }
      },
      versions: async (key) => byKey.get(formatKey(key)) ?? [],
      freeze: async () => {},
      finish: async () => undefined,
      close: async () => {},
    }),
    close: async () => {},
  };
}

interface Wal {
  readonly majorVersion: number;
  readonly records: readonly HandMadeRecord[];
  readonly nextXid?: bigint;
  readonly forks?: Readonly<Record<string, number>>;
  /** Bytes of values after which a run ends. */
  readonly room?: number;
}

const FORKS = { '16384.0': 10, '16384.2': 1, '16385.0': 12, '16385.1': 3 };

async function ingest(wal: Wal): Promise<Ingested> {
  const { majorVersion, records, nextXid = 2048n, forks = FORKS, room = 2 ** 30 } = wal;
  const builder = new WalBuilder({ majorVersion });
  for (const record of records) builder.append(walRecord({ ...record, majorVersion }));
  const cluster = smallCluster({ forks, majorVersion, nextXid });
  const entries: EphemeralEntry[] = [];
  const line = await LayerLine.create(layersInMemory(entries), {
    startLsn: START,
    onBorder: async () => {},
  });
  const puts = new RecordPuts(line, 2, { record: 2 ** 30, layer: 2 ** 30 });
  const base = {
    get: async (key: Key, lsn: Lsn) => {
      const [newest] = await puts.versions(key, lsn);
      const value = newest === undefined ? undefined : decodeValue(newest.bytes);
      return value?.type === 'image' ? value.bytes : cluster.get(key);
    },
  };
  const ingesting = await RecordIngest.open({ base, sink: puts, lsn: START, majorVersion });
  let error: string | undefined;
  let inRuns = 0;
  try {
    for await (const batch of await openWal(walBytes(builder.files))) {
      ingesting.beginBatch();
      for (let at = 0; at < batch.length; ) {
        const next = ingesting.ingestRun(batch, at, batch.length, room);
        inRuns += next - at;
        if (next === at) {
          puts.begin(() => undefined);
          await ingesting.ingestFrom(batch, at);
          at += 1;
        } else at = next;
        expect(ingesting.lsn).toBe(batch.endLsn(at - 1));
        if (puts.isFull || room < 2 ** 30) await puts.flush();
      }
    }
  } catch (thrown) {
    puts.rollBack();
    error = String(thrown);
  }
  await puts.flush();
  const lines = entries.map(({ key, lsn, willInit, bytes }) =>
    [formatKey(key), lsn, willInit, Buffer.from(bytes).toString('hex')].join(' '),
  );
  return { puts: lines, error, inRuns };
}

/** With and without WebAssembly. Returns: what the first one did; the second one did the same. */
async function ingestBoth(wal: Wal): Promise<Ingested> {
  const byKernel = await ingest(wal);
  vi.stubGlobal('WebAssembly', undefined);
  const byScript = await ingest(wal);
  vi.unstubAllGlobals();
  expect(byScript.inRuns).toBe(0);
  expect({ ...byKernel, inRuns: 0 }).toEqual(byScript);
  return byKernel;
}

const page = new Uint8Array(PAGE).map((_, index) => (index < 200 || index > 8000 ? index : 0));

const images = [
  ...[undefined, undefined, undefined],
  ...[{ page }, { page, hole: [200, 7801] as const }, { page, apply: false }],
];

const blocks = fc.array(
  fc.record({
    relation: fc.constantFrom<[number, number, number]>([1663, 5, 16384], [1663, 5, 16385]),
    fork: fc.constantFrom(0, 0, 0, 1, 2),
    blkno: fc.constantFrom(0, 0, 1, 2, 9, 10, 11, 12),
    willInit: fc.boolean(),
    data: fc.uint8Array({ maxLength: 40 }),
    image: fc.constantFrom(...images),
  }),
  { maxLength: 3 },
);

const mainData = fc.oneof(
  fc.uint8Array({ maxLength: 20, size: 'max' }),
  fc.constantFrom(8, 14, 254, 300).map((length) => new Uint8Array(length).fill(3)),
);

const records = fc.record({
  resourceManager: fc.constantFrom(XLOG, TRANSACTION, HEAP, HEAP, HEAP2, BTREE, BTREE, BTREE),
  info: fc.constantFrom(0, 0x10, 0x20, 0x40, 0x50, 0x60, 0x80, 0xb0),
  xid: fc.constantFrom(0, 0, 700, 2047, 2048, 2 ** 32 - 1),
  blocks,
  origin: fc.constantFrom(undefined, undefined, undefined, 3),
  mainData,
});

const repeatable = (record: HandMadeRecord): HandMadeRecord => ({
  ...record,
  blocks: (record.blocks ?? []).map((block, index) => ({
    ...block,
    isRelationRepeated: index > 0 && block.blkno % 2 === 1,
  })),
});

/** One block that lies within a fork. */
const simple = (blkno: number, record: Partial<HandMadeRecord> = {}): HandMadeRecord => ({
  ...{ resourceManager: BTREE, info: 0, blocks: [{ blkno }], mainData: Uint8Array.of(1, 0) },
  ...record,
});

const commitAt = (xid: number, info = 0): HandMadeRecord => ({
  ...{ resourceManager: TRANSACTION, info, xid },
  mainData: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
});

describe('with and without WebAssembly', () => {
  test('the same is put for any records', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          majorVersion: fc.constantFrom(14, 15, 16, 17),
          nextXid: fc.constantFrom(2048n, 2100n, 0n),
          records: fc.array(
            fc.oneof(
              records.map(repeatable),
              fc.integer({ min: 0, max: 9 }).map((blkno) => simple(blkno)),
              fc.constantFrom(700, 2047).map((xid) => commitAt(xid)),
            ),
            { minLength: 1, maxLength: 60, size: 'max' },
          ),
        }),
        async (wal) => {
          await ingestBoth(wal);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('records of known forks and plain ends of transactions are put in runs', async () => {
    const many = Array.from({ length: 500 }, (_, number) =>
      number % 5 === 4 ? commitAt(1500 + number, number % 2 === 0 ? 0 : 0x20) : simple(number % 10),
    );
    const { inRuns, puts } = await ingestBoth({ majorVersion: 17, records: many });
    // The first of a fork, of a commit and of a page of the log are not known.
    expect(inRuns).toBeGreaterThan(490);
    expect(puts).toHaveLength(500);
  });

  test('a record of several blocks, long or short, is put for each of them', async () => {
    const block = (blkno: number, length: number) => ({
      blkno,
      data: new Uint8Array(length).fill(blkno),
    });
    const records = [1, 15, 16, 17, 500, 600, 3000].flatMap((length) => [
      simple(1),
      simple(1, { blocks: [block(1, length), { ...block(2, length), isRelationRepeated: true }] }),
    ]);
    const { inRuns } = await ingestBoth({ majorVersion: 17, records });
    expect(inRuns).toBe(records.length - 1);
  });

  test('a block at the end of its fork makes the fork longer, also amid a run', async () => {
    const records = [1, 1, 10, 2, 11, 10, 11].map((blkno) => simple(blkno));
    const { puts, inRuns } = await ingestBoth({ majorVersion: 17, records });
    // Two of the records put a size, too.
    expect(puts).toHaveLength(9);
    expect(inRuns).toBe(4);
  });

  test('a transaction that is not below the next one moves the checkpoint, also amid a run', async () => {
    const records = [0, 700, 2047, 2048, 2049].map((xid) => simple(1, { xid }));
    const { puts } = await ingestBoth({ majorVersion: 17, records });
    expect(puts).toHaveLength(6);
  });

  test('a run ends after the record with which the values have the size', async () => {
    const many = Array.from({ length: 50 }, (_, number) => simple(number % 10));
    const { puts, inRuns } = await ingestBoth({ majorVersion: 17, records: many, room: 200 });
    expect(puts).toHaveLength(50);
    expect(inRuns).toBeGreaterThan(40);
  });

  test('more than one batch of values, and records of more than a page', async () => {
    const many = Array.from({ length: 4500 }, (_, number) => simple(number % 10));
    const long = simple(3, { blocks: [{ blkno: 3, data: new Uint8Array(20_000) }] });
    const records = [...many, long, ...many.slice(0, 100)];
    const { puts, inRuns } = await ingestBoth({ majorVersion: 15, records });
    expect(puts).toHaveLength(4601);
    expect(inRuns).toBeGreaterThan(4590);
  });

  test('more bytes of records than the kernel takes at a time', async () => {
    const sized = (blkno: number, length: number) =>
      simple(blkno, { blocks: [{ blkno, data: new Uint8Array(length).fill(blkno) }] });
    const records = Array.from({ length: 600 }, (_, at) => sized(at % 10, 100 + 7 * (at % 200)));
    const { puts, inRuns } = await ingestBoth({ majorVersion: 17, records });
    expect(puts).toHaveLength(600);
    expect(inRuns).toBeGreaterThan(590);
  });

  test('more values than an area holds', async () => {
    const wide = simple(0, {
      blocks: Array.from({ length: 33 }, (_, index) => ({
        ...{ blkno: index % 10, data: new Uint8Array(2000) },
      })),
    });
    const { puts } = await ingestBoth({ majorVersion: 17, records: new Array(12).fill(wide) });
    expect(puts).toHaveLength(12 * 33);
  });

  test('the transactions at the end of an epoch', async () => {
    const last = 2 ** 32;
    const records = [last - 2000, last - 2, last - 1, 3].map((xid) => simple(1, { xid }));
    for (const nextXid of [BigInt(last) - 1024n, BigInt(last), BigInt(last) + 500n]) {
      await ingestBoth({ majorVersion: 17, records, nextXid });
    }
  });

  test('forks that share a place in the table of the kernel', async () => {
    const relnodes = Array.from({ length: 300 }, (_, index) => 20_000 + index * index);
    const forks = Object.fromEntries(relnodes.map((relnode) => [`${relnode}.0`, 5]));
    const records = [...relnodes, ...relnodes].map((relnode) =>
      simple(0, { blocks: [{ relation: [1663, 5, relnode], blkno: 4 }] }),
    );
    const { inRuns, puts } = await ingestBoth({ majorVersion: 17, records, forks });
    expect(puts).toHaveLength(600);
    // Each is unknown at first, and those that were displaced are once more.
    expect(inRuns).toBeGreaterThan(100);
    expect(inRuns).toBeLessThan(300);
  });

  test('a flag that asks for more leaves the record', async () => {
    const lock = (flags: number) => Uint8Array.of(...u32(800), 1, 0, 0, flags);
    const records = [0, 0, 1, 0, 1].map((flags) =>
      simple(1, { resourceManager: HEAP, info: 0x60, mainData: lock(flags) }),
    );
    const { puts } = await ingestBoth({ majorVersion: 17, records });
    expect(puts).toHaveLength(7);
  });
});
