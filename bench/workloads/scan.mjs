/** Whole layers from the first entry to the last, from the page cache. */
import { readFileSync, statSync } from 'node:fs';
import {
  DEFAULT_DECOMPRESSION_LIMITS,
  Decompressor,
  decodeBlobHeader,
} from '../../dist/blob-writer.js';
import { openLayer } from '../../dist/layers.js';
import { readRaw } from '../floors/raw-read.mjs';
import { check } from '../harness/row-context.mjs';
import { dropSystemCache } from '../harness/system-cache.mjs';
import { IMAGE_COUNT, scaledShapes, titleOf } from '../inputs/shapes.mjs';
import { scanLevel } from '../peers/classic-level.mjs';
import { scanLmdb } from '../peers/lmdb.mjs';

const BLOCK_SIZE = 8192;
const KEY_SIZE = 18;

export function groupsOf({ scaled }) {
  const [small, large] = scaledShapes(scaled);
  const images = scaled(IMAGE_COUNT);
  const pages = `${images.toLocaleString('en-US')} Postgres-like pages`;
  const floor = 'floor: preads of 1 MiB';
  return [
    group(titleOf(small), 'delta-100', small.count, [
      row('floor', floor, scanRaw),
      ...ENTRY_ROWS,
      row('peer', 'lmdb getRange', scanLmdb, { shortName: 'lmdb', fixture: 'lmdb-100' }),
      row('peer', 'classic-level iterator', scanLevel, {
        shortName: 'classic-level',
        fixture: 'level-100',
      }),
    ]),
    group(`${titleOf(small)}, index alone`, 'delta-100', small.count, [
      row('floor', floor, scanRawIndex),
      row('layerfile', 'layerfile keys', scanKeys),
      row('layerfile', 'layerfile statistics', scanStatistics),
    ]),
    group(titleOf(large), 'delta-8k', large.count, [row('floor', floor, scanRaw), ...ENTRY_ROWS]),
    group(`${titleOf(large)}, not in the system's cache`, 'delta-8k', large.count, [
      row('floor', floor, cold(scanRaw)),
      row('layerfile', 'layerfile batches', cold(scanBatches)),
      row('layerfile', 'layerfile batches, direct', cold(scanBatchesDirectly)),
    ]),
    group(`${pages}, uncompressed`, 'image-postgres-none', images, [
      row('floor', floor, scanRaw),
      ...ENTRY_ROWS,
    ]),
    group(`${pages}, zstd 1`, 'image-postgres-zstd', images, [
      row('floor', `${floor}, decompression in memory`, scanRawZstd),
      ...ENTRY_ROWS,
    ]),
  ];
}

const ENTRY_ROWS = [
  row('layerfile', 'layerfile batches', scanBatches),
  row('layerfile', 'layerfile batches, a view of each', scanBatchViews),
  row('layerfile', 'layerfile batches, keys and LSNs as well', scanBatchKeys),
  row('layerfile', 'layerfile entries', scanEntries),
];

/** `scan` gets the path of the fixture and what times it; it returns how many entries it saw. */
function row(role, name, scan, { shortName = 'floor', fixture } = {}) {
  return { role, name, shortName, fixture, scan };
}

function group(title, fixture, count, rows) {
  const others = rows.flatMap((each) => each.fixture ?? []);
  return {
    title: `scan: ${title}`,
    fixtures: [fixture, ...others],
    rows: rows.map(({ scan, fixture: own, ...each }) => ({
      ...each,
      async measure(context) {
        const path = context.fixture(own ?? fixture);
        const { entries, bytes } = await scan(path, (action) => context.time(action));
        if (entries !== undefined) check(entries, count, 'entries');
        return { operations: count, bytes };
      },
    })),
  };
}

async function scanRaw(path, time) {
  const { size } = statSync(path);
  check(await time(() => readRaw(path, 0, size)), size, 'bytes');
  return { bytes: size };
}

async function scanRawIndex(path, time) {
  const start = await withReader(path, {}, (reader) => reader.summary.indexStartBlock * BLOCK_SIZE);
  const { size } = statSync(path);
  check(await time(() => readRaw(path, start, size)), size - start, 'bytes');
  return { bytes: size - start };
}

/** The decompressor of the library, over frames in memory. */
async function scanRawZstd(path, time) {
  const frames = await framesOf(path);
  const decompressor = await Decompressor.load();
  const { size } = statSync(path);
  let bytes = 0;
  await time(() => {
    readRaw(path, 0, size);
    for (const frame of frames) {
      bytes += decompressor.decompress(frame, DEFAULT_DECOMPRESSION_LIMITS).length;
    }
  });
  return { bytes, entries: frames.length };
}

async function framesOf(path) {
  const file = readFileSync(path);
  const frames = [];
  await withReader(path, {}, async (reader) => {
    for await (const { offset } of reader.keys()) {
      const { headerSize, storedLength, compressed } = decodeBlobHeader(file, offset, offset);
      check(compressed, true, 'compressed');
      frames.push(file.subarray(offset + headerSize, offset + headerSize + storedLength));
    }
  });
  return frames;
}

/** The same scan of a file that the system has to read from the device. */
function cold(scan) {
  return (path, time) => {
    dropSystemCache();
    return scan(path, time);
  };
}

function scanBatchesDirectly(path, time) {
  return scanBatches(path, time, { ioMode: 'direct' });
}

/** Reads the first byte of each content in place. */
function scanBatches(path, time, options = {}) {
  return withReader(path, options, async (reader) => {
    const seen = { entries: 0, bytes: 0, sum: 0 };
    await time(async () => {
      for await (const batch of reader.batches()) lookAtContents(batch, seen);
    });
    check(seen.sum >= 0, true, 'sum');
    return seen;
  });
}

/** A separate function: a loop within an asynchronous function is compiled together with all of it. */
function lookAtContents(batch, seen) {
  const { count, buffer, starts, lengths, compressed } = batch;
  let bytes = 0;
  let sum = 0;
  for (let at = 0; at < count; at += 1) {
    const content = compressed[at] === 1 ? batch.bytes(at) : undefined;
    sum += content === undefined ? buffer[starts[at]] : content[0];
    bytes += content === undefined ? lengths[at] : content.length;
  }
  seen.entries += count;
  seen.bytes += bytes;
  seen.sum += sum;
}

function scanBatchViews(path, time) {
  return withReader(path, {}, async (reader) => {
    let entries = 0;
    let bytes = 0;
    await time(async () => {
      for await (const batch of reader.batches()) {
        for (let at = 0; at < batch.count; at += 1) bytes += batch.bytes(at).length;
        entries += batch.count;
      }
    });
    return { entries, bytes };
  });
}

/** Keys, LSNs and marks are copied from the index when they are first read. */
function scanBatchKeys(path, time) {
  return withReader(path, {}, async (reader) => {
    let entries = 0;
    let bytes = 0;
    let sum = 0;
    await time(async () => {
      for await (const batch of reader.batches()) {
        const { count, keys, lsns, willInit, lengths, compressed } = batch;
        for (let at = 0; at < count; at += 1) {
          sum += keys[at * KEY_SIZE + KEY_SIZE - 1] + willInit[at];
          bytes += compressed[at] === 1 ? batch.bytes(at).length : lengths[at];
        }
        if (lsns[count - 1] === 0n) sum += 1;
        entries += count;
      }
    });
    check(sum >= 0, true, 'sum');
    return { entries, bytes };
  });
}

function scanEntries(path, time) {
  return withReader(path, {}, async (reader) => {
    let entries = 0;
    let bytes = 0;
    await time(async () => {
      for await (const entry of reader.entries()) {
        bytes += entry.bytes.length;
        entries += 1;
      }
    });
    return { entries, bytes };
  });
}

function scanKeys(path, time) {
  return withReader(path, {}, async (reader) => {
    let entries = 0;
    let offsets = 0;
    await time(async () => {
      for await (const entry of reader.keys()) {
        offsets += entry.offset;
        entries += 1;
      }
    });
    check(offsets > 0, true, 'offsets');
    return { entries, bytes: reader.size - reader.summary.indexStartBlock * BLOCK_SIZE };
  });
}

function scanStatistics(path, time) {
  return withReader(path, {}, async (reader) => {
    const { entryCount, indexSize } = await time(() => reader.statistics());
    return { entries: entryCount, bytes: indexSize };
  });
}

async function withReader(path, options, action) {
  const reader = await openLayer(path, options);
  try {
    return await action(reader);
  } finally {
    await reader.close();
  }
}
