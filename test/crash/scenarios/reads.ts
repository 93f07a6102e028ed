/** Every way to read: a layer, small files, and an ephemeral layer that still takes values. */
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { encodeDocument, readDocument } from '../../../src/write-once/document.ts';
import {
  formatTenantConfig,
  parseTenantConfig,
  readTenantConfig,
} from '../../../src/write-once/tenant-config.ts';
import {
  encodeTimelineMetadata,
  readTimelineMetadata,
} from '../../../src/write-once/timeline-metadata.ts';
import { blockKey, IDS, LSN_RANGE } from '../../support/layers.ts';
import {
  closing,
  type Disk,
  type MakeScenario,
  pick,
  randomBytes,
  type Scenario,
} from '../scenario.ts';
import { DATA } from './bystanders.ts';
import { deltaWrite, type Entry, randomEntries, written } from './layers.ts';
import { expectEqual, expectSame, onFile } from './readers.ts';

interface Reading {
  readonly reader: DeltaLayerReader;
  readonly entries: readonly Entry[];
  readonly signal: AbortSignal | undefined;
}

type Read = (reading: Reading) => Promise<void>;

/** Each compares what it reads with what was written. */
const READS: Readonly<Record<string, Read>> = {
  entries: async ({ reader, entries, signal }) => {
    await compare(entries, contentsOf(reader.entries({ signal })));
  },
  reverse: async ({ reader, entries, signal }) => {
    await compare([...entries].reverse(), contentsOf(reader.entries({ reverse: true, signal })));
  },
  batches: async ({ reader, entries, signal }) => {
    const contents: Uint8Array[] = [];
    for await (const batch of reader.batches({ signal })) {
      for (let index = 0; index < batch.count; index += 1) contents.push(batch.entry(index).bytes);
    }
    await compare(entries, contents);
  },
  keys: async ({ reader, entries, signal }) => {
    expectEqual(await countOf(reader.keys({ signal })), entries.length);
    expectEqual(await countOf(reader.keys({ reverse: true, signal })), entries.length);
  },
  salvage: async ({ reader, entries, signal }) => {
    const contents: Uint8Array[] = [];
    for await (const item of reader.salvage({ signal })) {
      if (item.kind !== 'entry') throw new Error(item.kind);
      contents.push(item.entry.bytes);
    }
    await compare(entries, contents);
  },
  'salvage-streamed': async ({ reader, entries, signal }) => {
    const contents: Uint8Array[] = [];
    for await (const item of reader.salvageStreamed({ signal })) {
      if (item.kind !== 'batch') throw new Error(item.kind);
      for (let at = 0; at < item.batch.count; at += 1) contents.push(item.batch.entry(at).bytes);
    }
    await compare(entries, contents);
  },
  'index-blocks': async ({ reader, entries }) => {
    let count = 0;
    for await (const block of reader.indexBlocks()) {
      if (block.kind === 'damaged') throw block.error;
      if (block.level === 0) count += block.entryCount;
    }
    expectEqual(count, entries.length);
    expectEqual((await reader.statistics()).entryCount, entries.length);
  },
  versions: async ({ reader, entries }) => {
    for (const { block, bytes } of entries) {
      await compare([{ block, bytes }], contentsOf(reader.versions(blockKey(block))));
    }
  },
  'get-many': async ({ reader, entries }) => {
    const found = await reader.getMany(entries.map(({ block }) => blockKey(block)));
    await compare(
      entries,
      found.map((entry) => entry?.bytes ?? new Uint8Array(0)),
    );
  },
};

/** On a file that is held open: synchronously, beside asynchronous reads. */
const HELD: Read = async ({ reader, entries }) => {
  const [first] = entries;
  const waiting = first && reader.get(blockKey(first.block)).catch((error: unknown) => error);
  try {
    const found = entries.map(({ block }) => reader.getSync(blockKey(block))?.bytes);
    await compare(
      entries,
      found.map((bytes) => bytes ?? new Uint8Array(0)),
    );
  } finally {
    await waiting;
  }
};

function readingLayer(kind: string, read: Read, reads: 'async' | 'sync'): MakeScenario {
  return async (random) => {
    const entries = randomEntries(random);
    const layer = await written(deltaWrite(random, entries));
    return onFile(kind, layer, async ({ openFiles, signal }) => {
      const options = { openFiles, blockCache: null, readMode: reads } as const;
      const opened = await DeltaLayerReader.open(layer.path, options);
      await closing(opened, (reader) => read({ reader, entries, signal }));
    });
  };
}

async function* contentsOf(
  entries: AsyncIterable<{ readonly bytes: Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of entries) yield bytes;
}

/** Serialized values, in order. */
async function compare(
  expected: readonly Entry[],
  actual: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  let row = 0;
  for await (const bytes of actual) {
    const entry = expected[row];
    expectSame(bytes, entry && encodeValue({ type: 'image', bytes: entry.bytes }));
    row += 1;
  }
  expectEqual(row, expected.length);
}

async function countOf(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of items) count += 1;
  return count;
}

/** A small file that is read as a whole, and gives the same bytes when it is encoded again. */
function readingSmallFile(
  kind: string,
  content: Uint8Array,
  read: (path: string, options: Pick<Disk, 'openFiles'>) => Promise<Uint8Array>,
): Scenario {
  const file = { path: `${DATA}/file`, content };
  return onFile(kind, file, async ({ openFiles }) => {
    expectSame(await read(file.path, { openFiles }), content);
  });
}

const document: MakeScenario = async (random) =>
  readingSmallFile(
    'read-document',
    encodeDocument({ lsn: 5n, bytes: randomBytes(random, pick(random, [0, 5000])) }),
    async (path, options) => encodeDocument(await readDocument(path, options)),
  );

const tenantConfig: MakeScenario = async (random) => {
  const text = `# ${'x'.repeat(random(5000))}\n[tenant_config]\ngc_horizon = ${random(9999)}\n`;
  const canonical = formatTenantConfig(parseTenantConfig(text));
  return readingSmallFile(
    'read-tenant-config',
    new TextEncoder().encode(canonical),
    async (path, options) =>
      new TextEncoder().encode(formatTenantConfig(await readTenantConfig(path, options))),
  );
};

const timelineMetadata: MakeScenario = async (random) =>
  readingSmallFile(
    'read-timeline-metadata',
    encodeTimelineMetadata({
      diskConsistentLsn: BigInt(random(0xffff)) * 8n,
      prevRecordLsn: null,
      ancestorTimeline: null,
      ancestorLsn: 0n,
      latestGcCutoffLsn: 0n,
      initdbLsn: 0x169_6000n,
      pgVersion: 16,
    }),
    async (path, options) => encodeTimelineMetadata(await readTimelineMetadata(path, options)),
  );

/** Values are looked up in the file, in flight and in the buffer, while others are put. */
const openEphemeral: MakeScenario = async (random) => {
  const entries = randomEntries(random);
  const bufferSize = pick(random, [1000, 4096]);
  return onFile('read-open-ephemeral', undefined, async ({ openFiles, signal }) => {
    const opened = await EphemeralLayer.create({
      directory: DATA,
      ...IDS,
      startLsn: LSN_RANGE.start,
      bufferSize,
      openFiles,
      signal,
    });
    await closing(opened, async (layer) => {
      for (const [row, { block, bytes }] of entries.entries()) {
        await layer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes });
        for (const earlier of entries.slice(0, row + 1)) {
          const found = await layer.get(blockKey(earlier.block));
          await compare([earlier], found === undefined ? [] : [found.bytes]);
        }
        await compare([{ block, bytes }], contentsOf(layer.versions(blockKey(block))));
      }
    });
  });
};

export const READING_SCENARIOS: ReadonlyMap<string, MakeScenario> = new Map([
  ...Object.entries(READS).map(([name, read]): [string, MakeScenario] => [
    `read-${name}`,
    readingLayer(`read-${name}`, read, 'async'),
  ]),
  ['read-held', readingLayer('read-held', HELD, 'sync')],
  ['read-document', document],
  ['read-tenant-config', tenantConfig],
  ['read-timeline-metadata', timelineMetadata],
  ['read-open-ephemeral', openEphemeral],
]);
