/** Layers that are written, given up, or fail in the middle, and an import of a data directory. */
import {
  DeltaLayerWriter,
  type DeltaWriteOptions,
} from '../../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { importPgdata } from '../../../src/postgres/import.ts';
import type { Choose } from '../../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { pages } from '../../postgres/fabricated-cluster.ts';
import { controlFileBytes } from '../../support/control-file.ts';
import { blockKey, IDS, IMAGE_LSN, KEY_RANGE, LSN_RANGE } from '../../support/layers.ts';
import { relationMapBytes } from '../../support/relation-map.ts';
import { Ledger } from '../ledger.ts';
import {
  between,
  type Disk,
  drawSeed,
  firstOf,
  LINK_UNSUPPORTED,
  type MakeScenario,
  pick,
  randomBytes,
  type Scenario,
  shortWrites,
  succeeds,
} from '../scenario.ts';
import { createBystanders, createLeftovers, DATA } from './bystanders.ts';

/** Brings a layer to the brink of its final name. Nothing is left of one that rejects. */
export type Write = (disk: Pick<Disk, 'openFiles' | 'signal'>) => Promise<Unfinished>;

export interface Unfinished {
  finish(): Promise<Pick<FinishedLayer, 'path' | 'size' | 'manifestPath'>>;
  /** Gives back what the finished or failed layer still holds. */
  close(): Promise<void>;
}

export interface Layer {
  readonly path: string;
  readonly content: Uint8Array;
}

/** Small buffers, so that a layer takes several writes; some end inside a chunk of 4 KiB. */
const BUFFER_SIZES = [1000, 2048, 4096, 8192, 10_000];

/** Of layers of so few buffers, some are synced on the way. */
function syncEveryOf(bufferSize: number): number {
  return 2 * bufferSize;
}

/** Buffers of whole chunks are written directly, the others and the tail are not. */
const IO_MODES = ['buffered', 'direct'] as const;

export interface Entry {
  readonly block: number;
  readonly bytes: Uint8Array;
}

export function randomEntries(random: Choose): Entry[] {
  let block = 0;
  return Array.from({ length: between(random, 1, 12) }, () => {
    block += between(random, 1, 9);
    return { block, bytes: randomBytes(random, between(random, 0, 2500)) };
  });
}

/** A serialized page image: tag, length and bytes. */
function imageValue(bytes: Uint8Array): { type: 'image'; bytes: Uint8Array } {
  return { type: 'image', bytes };
}

export const deltaLayer: MakeScenario = async (random) => {
  const write = deltaWrite(random);
  return writing('delta', random, write, await written(write));
};

export const deltaAbandoned: MakeScenario = async (random) => {
  const write = deltaWrite(random);
  return writing('delta-abandoned', random, write, await written(write), { end: 'abandon' });
};

export const deltaWithoutLinks: MakeScenario = async (random) => {
  const write = deltaWrite(random);
  const variant = { end: 'finish', hasLinks: false } as const;
  return writing('delta-without-links', random, write, await written(write), variant);
};

/** An index that is too large for memory lies in a scratch file until the values end. */
export const deltaWithLargeIndex: MakeScenario = async (random) => {
  const entries = Array.from({ length: 2500 }, (_, block) => ({ block, bytes: NO_BYTES }));
  const write = deltaWrite(random, entries, { indexMemoryLimit: 0, bufferSize: 100_000 });
  return writing('delta-with-large-index', random, write, await written(write));
};

const NO_BYTES = new Uint8Array(0);

export function deltaWrite(
  random: Choose,
  entries: readonly Entry[] = randomEntries(random),
  options: Partial<DeltaWriteOptions> = {},
): Write {
  const bufferSize = pick(random, BUFFER_SIZES);
  const ioMode = pick(random, IO_MODES);
  return async ({ openFiles, signal }) => {
    const writer = await DeltaLayerWriter.create({
      directory: DATA,
      ...IDS,
      keyRange: KEY_RANGE,
      lsnRange: LSN_RANGE,
      bufferSize,
      syncEvery: syncEveryOf(bufferSize),
      ioMode,
      openFiles,
      signal,
      ...options,
    });
    await orAbandon(writer, async () => {
      for (const { block, bytes } of entries) {
        await writer.put(blockKey(block), LSN_RANGE.start, imageValue(bytes));
      }
    });
    return { finish: () => writer.finish(), close: () => writer.abandon() };
  };
}

export const imageLayer: MakeScenario = async (random) => {
  const write = imageWrite(random);
  return writing('image', random, write, await written(write));
};

export function imageWrite(random: Choose, entries = randomEntries(random)): Write {
  const bufferSize = pick(random, BUFFER_SIZES);
  const ioMode = pick(random, IO_MODES);
  const compression =
    random(4) === 0 ? ({ kind: 'zstd', level: 1 } as const) : ({ kind: 'none' } as const);
  return async ({ openFiles, signal }) => {
    const writer = await ImageLayerWriter.create({
      directory: DATA,
      ...IDS,
      keyRange: KEY_RANGE,
      lsn: IMAGE_LSN,
      bufferSize,
      syncEvery: syncEveryOf(bufferSize),
      ioMode,
      compression,
      openFiles,
      signal,
    });
    await orAbandon(writer, async () => {
      for (const { block, bytes } of entries) await writer.put(blockKey(block), bytes);
    });
    return { finish: () => writer.finish(), close: () => writer.abandon() };
  };
}

export const ephemeralLayer: MakeScenario = async (random) => {
  const write = ephemeralWrite(random);
  return writing('ephemeral', random, write, await written(write));
};

function ephemeralWrite(random: Choose): Write {
  const entries = randomEntries(random);
  const order = entries.map((entry) => ({ entry, rank: random(1000) }));
  order.sort((left, right) => left.rank - right.rank);
  const bufferSize = pick(random, BUFFER_SIZES);
  const ioMode = pick(random, IO_MODES);
  return async ({ openFiles, signal }) => {
    const layer = await EphemeralLayer.create({
      directory: DATA,
      ...IDS,
      startLsn: LSN_RANGE.start,
      bufferSize,
      ioMode,
      openFiles,
      signal,
    });
    await orAbandon({ abandon: () => layer.close() }, async () => {
      for (const { entry } of order) {
        await layer.put(blockKey(entry.block), LSN_RANGE.start, imageValue(entry.bytes));
      }
      await layer.freeze(LSN_RANGE.end);
    });
    return { finish: () => layer.writeDelta({ signal }), close: () => layer.close() };
  };
}

export const imported: MakeScenario = async (random) => {
  const cluster: Readonly<Record<string, Uint8Array>> = {
    PG_VERSION: new TextEncoder().encode('17\n'),
    'global/pg_control': controlFileBytes({ segmentPageCount: 2 }),
    'global/1260': pages(1, random(99)),
    'global/pg_filenode.map': relationMapBytes(),
    'base/5/PG_VERSION': new TextEncoder().encode('17\n'),
    'base/5/pg_filenode.map': relationMapBytes({ mappings: [[1259, 1 + random(99)]] }),
    'base/5/16384': pages(2, random(99)),
    'base/5/16384.1': pages(between(random, 1, 2), random(99)),
    'base/5/16384_vm': pages(random(2), random(99)),
  };
  const createCluster = (fileSystem: MemoryFileSystem, ledger: Ledger): void => {
    for (const name of ['', '/global', '/base', '/base/5', '/pg_tblspc']) {
      fileSystem.createDirectory(`/cluster${name}`);
    }
    for (const [name, content] of Object.entries(cluster)) {
      fileSystem.createFile(`/cluster/${name}`, content);
      ledger.settle(`/cluster/${name}`, content);
    }
  };
  const compression =
    random(4) === 0 ? ({ kind: 'zstd', level: 1 } as const) : ({ kind: 'none' } as const);
  const write: Write = async ({ openFiles, signal }) => ({
    finish: () =>
      importPgdata({
        dataDirectory: '/cluster',
        outDirectory: DATA,
        ...IDS,
        lsn: 'auto',
        compression,
        openFiles,
        signal,
      }),
    close: async () => {},
  });
  const layer = await written(write, createCluster);
  // All of it happens in its `finish`: there is nothing that could be given up before.
  return writing('import', random, write, layer, { create: createCluster, end: 'finish' });
};

/** The layer as it is written when nothing happens; it is whole, and holds what was put. */
export async function written(
  write: Write,
  create: (fileSystem: MemoryFileSystem, ledger: Ledger) => void = () => {},
): Promise<Layer> {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory(DATA);
  create(fileSystem, new Ledger());
  const openFiles = new OpenFiles({ fileSystem });
  const layer = await write({ openFiles });
  const { path } = await layer.finish();
  await layer.close();
  return { path, content: fileSystem.contentOf(path) };
}

interface Variant {
  readonly end?: 'finish' | 'abandon';
  readonly hasLinks?: boolean;
  /** Makes the files that are read. */
  readonly create?: (fileSystem: MemoryFileSystem, ledger: Ledger) => void;
}

/** The layer is finished or, from some seeds, given up; others have the place of its temporary. */
export function writing(
  kind: string,
  random: Choose,
  write: Write,
  layer: Layer,
  variant: Variant = {},
): Scenario {
  const end = random(8) === 0 ? 'abandon' : 'finish';
  const hasLinks = random(5) > 0;
  return writingVariant(kind, random, write, layer, { end, hasLinks, ...variant });
}

function writingVariant(
  kind: string,
  random: Choose,
  write: Write,
  layer: Layer,
  { end, hasLinks = true, create = () => {} }: Variant,
): Scenario {
  const hasLeftovers = random(4) === 0;
  const writesShort = random(3) === 0;
  const seed = drawSeed(random);
  return {
    kind,
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      create(fileSystem, ledger);
      ledger.settle(layer.path, undefined);
      if (hasLeftovers) createLeftovers(fileSystem, seed);
    },
    run: async (disk) => {
      await succeeds(async () => {
        const unfinished = await write(disk);
        if (end === 'finish') await finishing(disk, layer, unfinished);
        await unfinished.close();
      });
    },
    read: (path, openFiles) =>
      path === layer.path ? readLayer(path, openFiles) : Promise.resolve(),
    intercept: () =>
      firstOf(hasLinks ? undefined : LINK_UNSUPPORTED, writesShort ? shortWrites(seed) : undefined),
  };
}

export async function finishing(
  { ledger }: Disk,
  layer: Layer,
  unfinished: Unfinished,
): Promise<void> {
  await ledger.attempt(
    layer.path,
    layer.content,
    async () => {
      const { path, size } = await unfinished.finish();
      if (path !== layer.path || size !== layer.content.length) throw new Error('another layer');
    },
    { creates: true },
  );
}

/** As a user would: every entry, by asynchronous and synchronous reads, and a verdict without findings. */
export async function readLayer(path: string, openFiles: OpenFiles): Promise<void> {
  await using reader = await openLayer(path, { openFiles, blockCache: null, readMode: 'sync' });
  let count = 0;
  for await (const { key, lsn, bytes } of reader.entries()) {
    count += 1;
    for (const found of [await reader.get(key, lsn), reader.getSync(key, lsn)]) {
      if (found !== undefined && Buffer.compare(found.bytes, bytes) === 0) continue;
      throw new Error(`${path}: an entry that a scan finds and a look-up does not`);
    }
  }
  const report = await verifyLayer(path, { openFiles, blockCache: null });
  if (!report.ok || report.entries !== count || count === 0) {
    throw new Error(`${path}: ${JSON.stringify(report.findings)}`);
  }
}

/** Gives up what could not be made ready; the first error counts. */
async function orAbandon(
  writer: { abandon(): Promise<void> },
  fill: () => Promise<void>,
): Promise<void> {
  try {
    await fill();
  } catch (error) {
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
}
