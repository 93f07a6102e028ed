/** Image layers of pages, durable at the end. */
import { mkdirSync, statSync } from 'node:fs';
import { loadCompressor } from '../../dist/blob-writer.js';
import { openLayer } from '../../dist/layers.js';
import { writeRaw } from '../floors/raw-write.mjs';
import { check } from '../harness/row-context.mjs';
import { keyOfBlock } from '../inputs/keys.mjs';
import { PAGE_KINDS, PAGE_SIZE, pagePool } from '../inputs/pages.mjs';
import { IMAGE_COUNT } from '../inputs/shapes.mjs';
import { writeImage } from '../writers/image.mjs';

const ZSTD_1 = { kind: 'zstd', level: 1 };

/** Pages of the layer before the one that is measured. */
const FIRST_COUNT = 5_000;

export function groupsOf({ scaled }) {
  const count = scaled(IMAGE_COUNT);
  return PAGE_KINDS.flatMap((pageKind) => [
    {
      title: `${titleOf(pageKind, count)}, uncompressed, durable at the end`,
      fixtures: [`image-${pageKind}-none`],
      rows: [plainFloor(pageKind, count), layerRow(pageKind, count, { kind: 'none' })],
    },
    {
      title: `${titleOf(pageKind, count)}, zstd 1, durable at the end`,
      rows: [
        zstdFloor(pageKind, count),
        layerRow(pageKind, count, ZSTD_1),
        laterLayerRow(pageKind, count, ZSTD_1),
      ],
    },
  ]);
}

function titleOf(pageKind, count) {
  const kind = pageKind === 'half' ? 'half-compressible' : 'Postgres-like';
  return `image: ${count.toLocaleString('en-US')} ${kind} pages`;
}

function plainFloor(pageKind, count) {
  return {
    role: 'floor',
    name: 'floor: writes as many bytes',
    shortName: 'floor',
    async measure(context) {
      const { size } = statSync(context.fixture(`image-${pageKind}-none`));
      const path = `${context.directory}/raw`;
      await context.time(() => writeRaw(path, size, { durability: 'sync' }));
      return { operations: count, bytes: count * PAGE_SIZE };
    },
  };
}

/** The compressor that the library uses, called directly: no hop to another thread, no copy. */
function zstdFloor(pageKind, count) {
  return {
    role: 'floor',
    name: 'floor: the same zstd, one thread, no file',
    shortName: 'floor',
    async measure(context) {
      const pages = pagePool(pageKind);
      const compressor = await loadCompressor(ZSTD_1.level);
      let stored = 0;
      await context.time(() => {
        for (let index = 0; index < count; index += 1) {
          stored += compressor.compressSync(pages[index % pages.length]).length;
        }
      });
      const percent = ((100 * stored) / (count * PAGE_SIZE)).toFixed(0);
      const note = `${compressor.name} zstd, to ${percent}%`;
      return { operations: count, bytes: count * PAGE_SIZE, note };
    },
  };
}

function layerRow(pageKind, count, compression) {
  return {
    role: 'layerfile',
    name: 'layerfile ImageLayerWriter.put',
    measure: (context) => measureLayer(context, { pageKind, count, compression }),
  };
}

/** Not the first layer of a process: the threads run, and the code is compiled. */
function laterLayerRow(pageKind, count, compression) {
  return {
    role: 'layerfile',
    name: 'layerfile ImageLayerWriter.put, not the first',
    async measure(context) {
      const directory = `${context.directory}/first`;
      mkdirSync(directory);
      await writeImage(directory, { pages: pagePool(pageKind), count: FIRST_COUNT, compression });
      return measureLayer(context, { pageKind, count, compression });
    },
  };
}

async function measureLayer(context, { pageKind, count, compression }) {
  const pages = pagePool(pageKind);
  const { path } = await context.time(() =>
    writeImage(context.directory, { pages, count, compression }),
  );
  await checkPages(path, pages, count);
  return { operations: count, bytes: count * PAGE_SIZE };
}

async function checkPages(path, pages, count) {
  const reader = await openLayer(path);
  const { entryCount } = await reader.statistics();
  check(entryCount, count, 'entries');
  for (let block = 0; block < count; block += 997) {
    const entry = await reader.get(keyOfBlock(block));
    check(Buffer.compare(entry.bytes, pages[block % pages.length]), 0, `page ${block}`);
  }
  await reader.close();
}
